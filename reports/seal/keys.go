package seal

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	privateBlock = "PRIVATE KEY" // PKCS #8, RFC 5958
	publicBlock  = "PUBLIC KEY"  // SubjectPublicKeyInfo, RFC 5280 section 4.1
)

// OpenKey reads the Ed25519 signing key at path (PEM, PKCS #8), and makes it on
// first use with mode 0600 in a folder of mode 0700. created says which. A key
// file that others may read is refused on systems with such modes.
func OpenKey(path string) (key ed25519.PrivateKey, created bool, err error) {
	parsed, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = makeKey(path); !errors.Is(err, fs.ErrExist) {
			return key, err == nil, err
		}
		parsed, err = readKey(path) // another first use made it meanwhile
	}
	if err != nil {
		return nil, false, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, false, fmt.Errorf("seal: signing key %q is %T, want Ed25519", path, parsed)
	}
	return key, false, nil
}

// OpenP256Key does for ECDSA keys on P-256 what OpenKey does for Ed25519.
func OpenP256Key(path string) (key *ecdsa.PrivateKey, created bool, err error) {
	parsed, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			err = WriteKey(path, key)
		}
		if !errors.Is(err, fs.ErrExist) {
			return key, err == nil, err
		}
		parsed, err = readKey(path)
	}
	if err != nil {
		return nil, false, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, false, fmt.Errorf("seal: signing key %q is %T, want ECDSA on P-256", path, parsed)
	}
	return key, false, nil
}

// readKey parses a private key file that only its owner may read.
func readKey(path string) (any, error) {
	content, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != privateBlock {
		return nil, fmt.Errorf("seal: signing key %q: no PEM block %q (make one with: openssl genpkey -algorithm ed25519)", path, privateBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("seal: signing key %q: %w", path, err)
	}
	return parsed, nil
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("seal: signing key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("seal: signing key %q has mode %04o and others may read it (mend: chmod 600 %s)", path, info.Mode().Perm(), path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seal: signing key: %w", err)
	}
	return content, nil
}

// makeKey writes a new key; of two processes that race for it, one wins and
// the other gets fs.ErrExist instead of a second identity.
func makeKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("seal: make signing key: %w", err)
	}
	return key, WriteKey(path, key)
}

// WriteKey writes a private key (PEM, PKCS #8) to a path at which nothing may be
// yet (else fs.ErrExist), with mode 0600 in a folder of mode 0700. Where there are
// hard links the file is there whole or not at all.
func WriteKey(path string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("seal: make signing key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("seal: make signing key: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("seal: make signing key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})
	if err = fill(f, text); err == nil {
		err = os.Link(f.Name(), path) // unlike a renaming it replaces nothing
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = createKey(path, text)
		}
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return fmt.Errorf("seal: make signing key %q: %w", path, err)
	}
	return nil
}

// createKey is for file systems without hard links, such as those of USB sticks: a
// second first use at the same moment may find the file half written and refuse it.
func createKey(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fill(f, text); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func fill(f *os.File, text []byte) error {
	_, err := f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// MarshalPublicKey returns a public key (ed25519.PublicKey or *ecdsa.PublicKey)
// as PEM (PKIX), the form that `openssl pkey -pubin` reads.
func MarshalPublicKey(pub any) ([]byte, error) {
	der, err := marshalDER(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// LoadPublicKey reads a pinned Ed25519 public key (PEM, PKIX).
func LoadPublicKey(path string) (ed25519.PublicKey, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seal: public key: %w", err)
	}
	pub, err := parsePublicKey(content)
	if err != nil {
		return nil, fmt.Errorf("seal: public key %q: %w", path, err)
	}
	return pub, nil
}

func parsePublicKey(content []byte) (ed25519.PublicKey, error) {
	parsed, err := parsePublic(content)
	if err != nil {
		return nil, err
	}
	pub, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key is %T, want Ed25519", parsed)
	}
	return pub, nil
}

func parsePublic(content []byte) (any, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != publicBlock {
		return nil, fmt.Errorf("no PEM block %q", publicBlock)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// KeyID returns the fingerprint by which reports name a key (ed25519.PublicKey
// or *ecdsa.PublicKey): SHA-256 over its PKIX form, in hex. The same as
// `openssl pkey -pubin -in KEY -outform DER | sha256sum`.
func KeyID(pub any) (string, error) {
	der, err := marshalDER(pub)
	if err != nil {
		return "", err
	}
	return fingerprint(der), nil
}

func marshalDER(pub any) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("seal: public key: %w", err)
	}
	return der, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

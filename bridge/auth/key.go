package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// MinSecretBytes is the shortest HMAC secret that is accepted: the output size of SHA-256 (RFC 7518 section 3.2).
const MinSecretBytes = 32

// minRSABits is the smallest RSA modulus that is accepted (RFC 7518 section 3.3).
const minRSABits = 2048

// Algorithms lists the values that alg may have.
func Algorithms() []string { return []string{"HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"} }

// LoadKey reads the key for alg: the secret for HS*, trimmed of white space at both ends, else a PEM public key or
// certificate. The error says which setting to mend.
func LoadKey(alg, secretFile, publicKeyFile string) (any, error) {
	if strings.HasPrefix(alg, "HS") {
		if secretFile == "" {
			return nil, fmt.Errorf("auth: algorithm %s needs auth.jwt.secretFile", alg)
		}
		raw, err := os.ReadFile(secretFile)
		if err != nil {
			return nil, fmt.Errorf("auth: read auth.jwt.secretFile: %w", err)
		}
		return bytes.TrimSpace(raw), nil
	}
	if publicKeyFile == "" {
		return nil, fmt.Errorf("auth: algorithm %s needs auth.jwt.publicKeyFile", alg)
	}
	raw, err := os.ReadFile(publicKeyFile)
	if err != nil {
		return nil, fmt.Errorf("auth: read auth.jwt.publicKeyFile: %w", err)
	}
	key, err := parsePublic(raw)
	if err != nil {
		return nil, fmt.Errorf("auth: auth.jwt.publicKeyFile %q: %w", publicKeyFile, err)
	}
	return key, nil
}

func parsePublic(raw []byte) (any, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("no PEM block in it: give a public key (BEGIN PUBLIC KEY) or a certificate")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	default:
		return nil, fmt.Errorf("PEM type %q: give a public key, never a private one", block.Type)
	}
}

// checkKey holds the key to the algorithm (RFC 8725 section 3.2: a public key must never serve as an HMAC secret).
func checkKey(alg string, key any) error {
	switch alg {
	case "HS256", "HS384", "HS512":
		secret, ok := key.([]byte)
		if !ok {
			return fmt.Errorf("auth: algorithm %s needs a secret, not a %T", alg, key)
		}
		return checkSecret(alg, secret)
	case "RS256":
		k, ok := key.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("auth: algorithm RS256 needs an RSA public key, not a %T", key)
		}
		if k.N.BitLen() < minRSABits {
			return fmt.Errorf("auth: the RSA key has %d bits: use at least %d", k.N.BitLen(), minRSABits)
		}
	case "ES256":
		k, ok := key.(*ecdsa.PublicKey)
		if !ok || k.Curve != elliptic.P256() {
			return errors.New("auth: algorithm ES256 needs an EC public key on P-256")
		}
	case "EdDSA":
		if _, ok := key.(ed25519.PublicKey); !ok {
			return fmt.Errorf("auth: algorithm EdDSA needs an Ed25519 public key, not a %T", key)
		}
	default:
		return fmt.Errorf("auth: algorithm %q: use one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	return nil
}

func checkSecret(alg string, secret []byte) error {
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("auth: the %s secret has %d bytes: use at least %d random ones (openssl rand -hex 32)", alg, len(secret), MinSecretBytes)
	}
	if bytes.Count(secret, secret[:1]) == len(secret) {
		return errors.New("auth: the secret is one byte repeated: use random bytes (openssl rand -hex 32)")
	}
	if block, _ := pem.Decode(secret); block != nil {
		return errors.New("auth: the secret is a PEM file: a key that others may read is no secret; set auth.jwt.alg and publicKeyFile instead")
	}
	return nil
}

// EnsureSecret returns path after making sure that it holds a secret: when the file is missing, 32 bytes from random (nil =
// crypto/rand) are written to it as hex text, readable by the owner only. An existing file is never changed.
func EnsureSecret(path string, random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	raw := make([]byte, MinSecretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("auth: make secret: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("auth: make secret: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("auth: make secret: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(raw) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("auth: make secret %q: %w", path, errors.Join(err, os.Remove(path)))
	}
	return path, nil
}

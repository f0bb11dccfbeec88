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
	"slices"
	"strings"
)

// MinSecretBytes is the shortest HMAC secret that HS256 accepts, the output size of its hash; HS384 and HS512 want theirs, 48 and
// 64 (RFC 7518 section 3.2).
const MinSecretBytes = 32

// minRSABits is the smallest RSA modulus that is accepted (RFC 7518 section 3.3).
const minRSABits = 2048

// Algorithms lists the values that alg may have.
func Algorithms() []string {
	return []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
}

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
	if !slices.Contains(Algorithms(), alg) {
		return fmt.Errorf("auth: algorithm %q: use one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	switch alg[:2] {
	case "HS":
		secret, ok := key.([]byte)
		if !ok {
			return fmt.Errorf("auth: algorithm %s needs a secret, not a %T", alg, key)
		}
		return checkSecret(alg, secret)
	case "RS", "PS":
		k, ok := key.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("auth: algorithm %s needs an RSA public key, not a %T", alg, key)
		}
		if k.N.BitLen() < minRSABits {
			return fmt.Errorf("auth: the RSA key has %d bits: use at least %d", k.N.BitLen(), minRSABits)
		}
		if k.E < 3 || k.E&1 == 0 {
			return fmt.Errorf("auth: the RSA key has the exponent %d, which protects nothing: make another", k.E)
		}
	case "ES":
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
		if k, ok := key.(*ecdsa.PublicKey); !ok || k.Curve != curve {
			return fmt.Errorf("auth: algorithm %s needs an EC public key on %s", alg, curve.Params().Name)
		}
	default:
		if _, ok := key.(ed25519.PublicKey); !ok {
			return fmt.Errorf("auth: algorithm EdDSA needs an Ed25519 public key, not a %T", key)
		}
	}
	return nil
}

// minDistinct is how many different bytes a secret must have. Random text has far more; "aaaa" and "12121212" have not.
const minDistinct = 8

func checkSecret(alg string, secret []byte) error {
	least := map[string]int{"HS256": MinSecretBytes, "HS384": 48, "HS512": 64}[alg]
	if len(secret) < least {
		return fmt.Errorf("auth: the %s secret has %d bytes: use at least %d random ones (openssl rand -hex 32)", alg, len(secret), least)
	}
	var seen [256]bool
	distinct := 0
	for _, b := range secret {
		if !seen[b] {
			seen[b] = true
			distinct++
		}
	}
	if distinct < minDistinct {
		return fmt.Errorf("auth: the secret has only %d different bytes: use random ones (openssl rand -hex 32)", distinct)
	}
	if block, _ := pem.Decode(secret); block != nil {
		return errors.New("auth: the secret is a PEM file: a key that others may read is no secret; set auth.jwt.alg and publicKeyFile instead")
	}
	return nil
}

// EnsureSecret returns path after making sure that it holds a secret: when the file is missing, or empty as a crash may leave it, 32
// bytes from random (nil = crypto/rand) are written to it as hex text, readable by the owner only. A file that holds anything is
// never changed. It is meant for one process at a time.
func EnsureSecret(path string, random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return path, nil
	}
	raw := make([]byte, MinSecretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("auth: make secret: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("auth: make secret: %w", err)
	}
	if err := replace(path, []byte(hex.EncodeToString(raw)+"\n")); err != nil {
		return "", fmt.Errorf("auth: make secret %q: %w", path, err)
	}
	return path, nil
}

package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"
)

// Fingerprint is the SHA-256 of an agent's certificate (DER): all that a harness
// knows of it.
type Fingerprint [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// FingerprintOf returns the fingerprint of a certificate.
func FingerprintOf(c tls.Certificate) Fingerprint { return sha256.Sum256(c.Certificate[0]) }

// NewCertificate makes a certificate and its key (P-256). It names no host and
// is its own authority: harnesses know it by its fingerprint.
func NewCertificate(now time.Time) (tls.Certificate, error) {
	_, certificate, err := makeCertificate(now)
	return certificate, err
}

// MakeCertificate returns the certificate in a PEM file, which only the user can
// read; where there is no file it makes one, so that the fingerprint stays the
// same from start to start.
func MakeCertificate(path string, now time.Time) (tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var certificate tls.Certificate
		if text, certificate, err = makeCertificate(now); err == nil {
			err = writeNew(path, text)
		}
		return certificate, err
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("agent: certificate: %w", err)
	}
	certificate, err := tls.X509KeyPair(text, text)
	if err != nil {
		return certificate, fmt.Errorf("agent: certificate %q: %w; remove it and a new one is made", path, err)
	}
	return certificate, nil
}

// life is how long a certificate is good for; nobody checks it but people who
// look at it.
const life = 10 * 365 * 24 * time.Hour

func makeCertificate(now time.Time) (text []byte, certificate tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, certificate, fmt.Errorf("agent: make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, certificate, fmt.Errorf("agent: draw a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "plumbline agent"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, certificate, fmt.Errorf("agent: make a certificate: %w", err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, certificate, fmt.Errorf("agent: encode the key: %w", err)
	}
	var out bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := pem.Encode(&out, block); err != nil {
			return nil, certificate, err
		}
	}
	certificate, err = tls.X509KeyPair(out.Bytes(), out.Bytes())
	return out.Bytes(), certificate, err
}

// Package devca makes the certificates that the bridge uses when none is configured: a small authority of its own and a server
// certificate for this machine's loopback names. They are for development; nothing beyond loopback should trust them.
package devca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// How long what is made stays valid, and how long before its end the server certificate is made anew.
const (
	CALife    = 10 * 365 * 24 * time.Hour
	LeafLife  = 397 * 24 * time.Hour // browsers refuse longer ones
	LeafRenew = 30 * 24 * time.Hour
	backdate  = time.Hour // for clocks that are behind
)

// Names of the files in the folder.
const (
	CAFile        = "ca.pem"
	CAKeyFile     = "ca-key.pem"
	ServerFile    = "server.pem"
	ServerKeyFile = "server-key.pem"
)

// Ensure returns the server certificate kept in dir, after making what is missing or damaged: the authority only when it is
// not there or about to expire, the server certificate when it does not fit the authority or the names, or ends within
// LeafRenew. Keys are readable by their owner only. It is meant for one process at a time.
func Ensure(dir string, now time.Time) (tls.Certificate, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, fmt.Errorf("devca: %w", err)
	}
	ca, err := load(dir, CAFile, CAKeyFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now.After(ca.Leaf.NotAfter.Add(-LeafRenew)) {
		ca, err = makeCA(dir, now)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("devca: authority in %q: %w: remove the folder to start afresh", dir, err)
	}
	if leaf, err := load(dir, ServerFile, ServerKeyFile); err == nil && fits(leaf.Leaf, ca.Leaf, now) {
		return leaf, nil
	}
	leaf, err := makeLeaf(dir, ca, now)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("devca: server certificate in %q: %w", dir, err)
	}
	return leaf, nil
}

func load(dir, certFile, keyFile string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
}

// loopback returns the names and addresses of the server certificate.
func loopback() ([]string, []net.IP) {
	return []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
}

// fits reports whether the leaf may go on being used.
func fits(leaf, ca *x509.Certificate, now time.Time) bool {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter.Add(-LeafRenew)) {
		return false
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	names, ips := loopback()
	for _, ip := range ips {
		names = append(names, ip.String())
	}
	for _, name := range names {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: now}); err != nil {
			return false
		}
	}
	return true
}

func makeCA(dir string, now time.Time) (tls.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Plumbline development CA", Organization: []string{"Plumbline"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(CALife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// RFC 5280 section 4.2.1.10: should its key leak, it vouches for nothing but this machine's loopback names.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	return issue(dir, CAFile, CAKeyFile, t, nil)
}

func makeLeaf(dir string, ca tls.Certificate, now time.Time) (tls.Certificate, error) {
	names, ips := loopback()
	end := now.Add(LeafLife)
	if end.After(ca.Leaf.NotAfter) {
		end = ca.Leaf.NotAfter
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost", Organization: []string{"Plumbline"}},
		NotBefore:   now.Add(-backdate),
		NotAfter:    end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
		IPAddresses: ips,
	}
	return issue(dir, ServerFile, ServerKeyFile, t, &ca)
}

// issue makes a key and a certificate from t, signed by the parent or by itself, and writes both, the key first.
func issue(dir, certFile, keyFile string, t *x509.Certificate, parent *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, err
	}
	signer, signerCert := crypto.PrivateKey(key), t
	if parent != nil {
		signer, signerCert = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, t, signerCert, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := write(filepath.Join(dir, keyFile), "PRIVATE KEY", keyDER, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	if err := write(filepath.Join(dir, certFile), "CERTIFICATE", der, 0o644); err != nil {
		return tls.Certificate{}, err
	}
	return load(dir, certFile, keyFile)
}

// write replaces a PEM file in one step.
func write(path, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

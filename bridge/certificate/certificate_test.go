package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_800_000_000, 0)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func template(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := template(1)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return authority{t, c, key}
}

// issue makes a certificate as c says, and its key, both PEM.
func (a authority) issue(c *x509.Certificate) (certPEM, keyPEM []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", keyDER)
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestN87BadPairIsNeverTaken: a pair that no client could use leaves the old one in force, is told once, and the next good one
// is taken.
func TestN87BadPairIsNeverTaken(t *testing.T) {
	a := newAuthority(t)
	stranger := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(cert, key []byte) {
		t.Helper()
		for path, content := range map[string][]byte{certFile: cert, keyFile: key} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	firstCert, firstKey := a.issue(template(10))
	put(firstCert, firstKey)
	var log strings.Builder
	failed, clock := 0, now
	s, err := New(Options{
		Key: "viewers.tls", Read: Files(certFile, keyFile), Now: func() time.Time { return clock }, Failed: func() { failed++ },
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c, err := s.Get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.Int64()
	}
	change := func(f func(*x509.Certificate)) (cert, key []byte) {
		c := template(99)
		f(c)
		return a.issue(c)
	}
	for name, bad := range map[string]func() (cert, key []byte){
		"mismatched key": func() ([]byte, []byte) {
			cert, _ := a.issue(template(99))
			_, key := a.issue(template(98))
			return cert, key
		},
		"expired": func() ([]byte, []byte) {
			return change(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
		},
		"not valid yet": func() ([]byte, []byte) {
			return change(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })
		},
		"no name": func() ([]byte, []byte) {
			return change(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
		},
		"not for servers": func() ([]byte, []byte) {
			return change(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		},
		"wrong chain": func() ([]byte, []byte) {
			cert, key := a.issue(template(99))
			return append(cert, block("CERTIFICATE", stranger.cert.Raw)...), key
		},
		"broken chain": func() ([]byte, []byte) {
			cert, key := a.issue(template(99))
			return append(cert, block("CERTIFICATE", []byte("x"))...), key
		},
		"half written": func() ([]byte, []byte) {
			cert, key := a.issue(template(99))
			return cert[:len(cert)/2], key
		},
		"half a key": func() ([]byte, []byte) {
			cert, key := a.issue(template(99))
			return cert, key[:len(key)/2]
		},
		"empty": func() ([]byte, []byte) { return nil, nil },
		"names swapped": func() ([]byte, []byte) {
			cert, key := a.issue(template(99))
			return key, cert
		},
	} {
		before := failed
		put(bad())
		s.Reload()
		s.Reload() // the same again is no news
		if serial() != 10 || failed != before+1 || s.Err() == nil {
			t.Errorf("%s: serial %d in force, %d failures, problem %v", name, serial(), failed-before, s.Err())
		}
		put(firstCert, firstKey)
		if s.Reload(); s.Err() != nil || serial() != 10 {
			t.Errorf("%s, then the old one again: %v", name, s.Err())
		}
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if s.Reload(); s.Err() == nil || serial() != 10 {
		t.Errorf("without its file: %v", s.Err())
	}
	put(firstCert, firstKey)
	if s.Reload(); s.Err() != nil {
		t.Errorf("with its file again: %v", s.Err())
	}
	nextCert, nextKey := a.issue(template(11))
	put(append(nextCert, block("CERTIFICATE", a.cert.Raw)...), nextKey)
	if s.Reload(); s.Err() != nil || serial() != 11 {
		t.Errorf("a good one: serial %d, %v", serial(), s.Err())
	}
	clock = now.Add(2 * time.Hour)
	if s.Reload(); s.Err() == nil || !strings.Contains(s.Err().Error(), "expired") || serial() != 11 {
		t.Errorf("in force and expired: %v", s.Err())
	}
	if strings.Contains(log.String(), "PRIVATE") || !strings.Contains(log.String(), "new certificate in force") {
		t.Errorf("log %s", log.String())
	}
}

func TestNewWantsAGoodPair(t *testing.T) {
	if _, err := New(Options{Key: "viewers.tls", Read: Files("none", "none"), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "viewers.tls") {
		t.Errorf("no files: %v", err)
	}
}

package devca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func ensure(t *testing.T, dir string, now time.Time) tls.Certificate {
	t.Helper()
	c, err := Ensure(dir, now)
	if err != nil {
		t.Fatalf("Ensure: %v", err)
	}
	return c
}

func ca(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	c, err := load(dir, CAFile, CAKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAuthorityVouchesForLoopbackOnly: what a stolen authority's key signs for another name is not believed.
func TestAuthorityVouchesForLoopbackOnly(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	stolen := ca(t, dir)
	pool := x509.NewCertPool()
	pool.AddCert(stolen.Leaf)
	for n, names := range []x509.Certificate{{DNSNames: []string{"example.org"}}, {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, {DNSNames: []string{"localhost"}}} {
		names.NotBefore, names.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		leaf, err := issue(dir, fmt.Sprint(n, ".pem"), fmt.Sprint(n, "-key.pem"), &names, &stolen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: pool}); (err == nil) != (n == 2) {
			t.Errorf("%v %v: %v", names.DNSNames, names.IPAddresses, err)
		}
	}
}

func TestEnsureServesLoopbackNames(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "tls"), time.Now()
	leaf := ensure(t, dir, now)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read(t, dir, CAFile)) {
		t.Fatal("ca.pem holds no certificate")
	}
	for name, good := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "example.org": false, "127.0.0.2": false} {
		_, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool})
		if (err == nil) != good {
			t.Errorf("certificate for %s: %v, want good = %v", name, err, good)
		}
	}
	for _, e := range ca(t, dir).Leaf.Extensions { // whoever does not know the limits of the authority must not trust it (RFC 5280 section 4.2.1.10)
		if e.Id.String() == "2.5.29.30" && !e.Critical {
			t.Error("the name constraints are not critical")
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, name := range []string{CAKeyFile, ServerKeyFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, err %v, want 0600", name, info.Mode().Perm(), err)
		}
	}
}

func TestEnsureKeepsAndRenews(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first := ensure(t, dir, now)
	ca := read(t, dir, CAFile)
	if again := ensure(t, dir, now.Add(time.Hour)); !bytes.Equal(first.Certificate[0], again.Certificate[0]) {
		t.Error("a good certificate was replaced")
	}
	renewed := ensure(t, dir, now.Add(LeafLife-LeafRenew+time.Hour))
	if bytes.Equal(first.Certificate[0], renewed.Certificate[0]) {
		t.Error("a certificate about to expire was kept")
	}
	if !bytes.Equal(ca, read(t, dir, CAFile)) {
		t.Error("the authority changed with the leaf")
	}
	if _, err := Ensure(dir, now.Add(CALife)); err != nil {
		t.Errorf("expired authority: %v", err)
	}
	if bytes.Equal(ca, read(t, dir, CAFile)) {
		t.Error("the expired authority was kept")
	}
}

func TestEnsureMendsDamage(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	if err := os.WriteFile(filepath.Join(dir, ServerFile), []byte("half a fi"), 0o644); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, now)
	other := t.TempDir()
	ensure(t, other, now)
	for _, name := range []string{ServerFile, ServerKeyFile} { // a leaf of another authority
		if err := os.WriteFile(filepath.Join(dir, name), read(t, other, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf := ensure(t, dir, now)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(t, dir, CAFile))
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: pool}); err != nil {
		t.Errorf("a foreign leaf was kept: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, CAFile), []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir, now); err == nil {
		t.Error("a damaged authority was taken or silently replaced")
	}
}

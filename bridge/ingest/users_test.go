package ingest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
)

func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func argonOf(password string) string {
	salt := []byte("saltsaltsaltsalt")
	sum := argon2.IDKey([]byte(password), salt, 1, minArgonMemory, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=1,p=1$%s$%s", minArgonMemory, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

func TestArgon2Users(t *testing.T) {
	u, err := NewUsers([]User{{Name: "a", Hash: argonOf("pw")}, {Name: "cert only"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, password string
		want           bool
	}{{"a", "pw", true}, {"a", "pw", true}, {"a", "pw2", false}, {"b", "pw", false}, {"cert only", "", false}, {"a", "", false}} {
		if got := u.check(t.Context(), tc.name, []byte(tc.password), "::1"); got != tc.want {
			t.Errorf("%q/%q: %v", tc.name, tc.password, got)
		}
	}
	good := argonOf("pw")
	for _, bad := range []string{
		strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "m=8192", "m=9999999", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "p=1", "p=999", 1), strings.Replace(good, "m=8192", "m=08192", 1), good + "$x", good[:len(good)-40], "$argon2i" + good[9:], "plain", "",
		strings.Replace(bcryptOf(t, "pw"), "$04$", "$17$", 1),
	} {
		if _, err := parseHash(bad); err == nil {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
}

// TestN44PlaceholdersAndDenies is N44 on the MQTT side: a deny beats every allow, and a name cannot widen a rule.
func TestN44PlaceholdersAndDenies(t *testing.T) {
	u, err := NewUsers([]User{{
		Name: "dev", Hash: bcryptOf(t, "pw"), Publish: []string{"%u/%c/#", "all/#"}, Subscribe: []string{"cmd/%c/+"},
		DenyPublish: []string{"all/secret/#", "%u/%c/locked"}, DenySubscribe: []string{"cmd/+/private"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		client, topic string
		write, want   bool
	}{
		{"7", "dev/7/t", true, true}, {"7", "dev/8/t", true, false}, {"7", "all/x", true, true}, {"7", "all/secret", true, false}, {"7", "all/secret/x", true, false},
		{"7", "dev/7/locked", true, false}, {"7", "cmd/7/go", false, true}, {"7", "cmd/7/private", false, false}, {"7", "cmd/+/go", false, false},
		{"#", "dev/x/t", true, false}, {"+", "cmd/8/go", false, false}, {"a/b", "all/x", true, false}, {"%u", "dev/%u/t", true, true},
	} {
		if got := u.may("dev", tc.client, tc.topic, tc.write); got != tc.want {
			t.Errorf("client %q, %q, write %v: %v", tc.client, tc.topic, tc.write, got)
		}
	}
	if _, err := NewUsers([]User{{Name: "x", Hash: bcryptOf(t, "pw"), DenyPublish: []string{"%c#"}}}); err == nil {
		t.Error("a bad deny is taken")
	}
}

// TestN39Throttling: too many failures from an address, or at an account, and nobody is let in there for the rest of the minute,
// with the same answer; who logged in before from its own address is.
func TestN39Throttling(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	th := newThrottle(3, func() time.Time { return now })
	for range 3 {
		if !th.allow("a", "x") {
			t.Fatal("throttled too early")
		}
		th.failed("a", "x")
	}
	for _, tc := range []struct {
		addr, account string
		want          bool
	}{{"a", "x", false}, {"a", "other", false}, {"b", "x", false}, {"b", "other", true}} {
		if got := th.allow(tc.addr, tc.account); got != tc.want {
			t.Errorf("%s at %s: %v", tc.addr, tc.account, got)
		}
	}
	if now = now.Add(throttleWindow); !th.allow("a", "x") {
		t.Error("throttled for more than a minute")
	}

	b, _ := start(t, func(o *Options) { o.Users, o.LoginFailures = users(t), 3 })
	dial(t, b, 5).ok(login{id: "known", user: "all", password: "pw", clean: true})
	for i := range 8 {
		if body := dial(t, b, 5).connect(login{id: "x", user: []string{"dev", "nobody"}[i%2], password: "guess"}); body[1] != 0x86 {
			t.Errorf("guess %d: %#x", i, body[1])
		}
	}
	if body := dial(t, b, 5).connect(login{id: "x", user: "dev", password: "pw"}); body[1] != 0x86 {
		t.Errorf("the right password after too many wrong ones: %#x, want 0x86 as before", body[1])
	}
	dial(t, b, 5).ok(login{id: "known", user: "all", password: "pw", clean: true})
}

// TestN39EqualWork: an unknown user costs what a known one does: each is checked against a hash of the file's costs.
func TestN39EqualWork(t *testing.T) {
	u, err := NewUsers([]User{{Name: "b", Hash: bcryptOf(t, "pw")}, {Name: "c", Hash: bcryptOf(t, "pw2")}, {Name: "a", Hash: argonOf("pw")}})
	if err != nil {
		t.Fatal(err)
	}
	absent := u.table.Load().absent
	if len(absent) != 2 {
		t.Fatalf("%d kinds of cost, want 2", len(absent))
	}
	for _, one := range []string{bcryptOf(t, "pw"), argonOf("pw")} {
		h, err := parseHash(one)
		if err != nil {
			t.Fatal(err)
		}
		d := h.dummy()
		if d.cost() != h.cost() || d.matches([]byte("pw")) || d.matches(nil) {
			t.Errorf("the stand-in for %s", h.cost())
		}
	}
}

func staleFile(t *testing.T, b *Broker, key string) float64 {
	t.Helper()
	var m dto.Metric
	if err := b.m.StaleFiles.WithLabelValues(key).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

// TestUsersFileIsFollowed: a change holds without a restart, cuts who is gone, and a bad file changes nothing but the alarm.
func TestUsersFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	user := func(name, password string) string {
		return fmt.Sprintf("  - {name: %s, hash: %q, publish: [\"#\"]}\n", name, bcryptOf(t, password))
	}
	keep, other := user("keep", "pw"), user("gone", "pw")
	write("users:\n" + keep + other)
	u, err := LoadUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, func(o *Options) { o.Users = u })
	stays := dial(t, b, 5).ok(login{id: "1", user: "keep", password: "pw", clean: true})
	gone := dial(t, b, 5).ok(login{id: "2", user: "gone", password: "pw", clean: true})
	write("users:\n" + keep + "  - {name: nonsense}\n  - {}\n")
	eventually.Must(t, "the alarm", func() bool { return staleFile(t, b, "mqtt.usersFile") == 1 })
	gone.quiet()
	write("users:\n" + keep + user("new", "pw"))
	if body := gone.want(14); body[0] != 0x87 {
		t.Errorf("DISCONNECT %#x, want 0x87", body[0])
	}
	eventually.Must(t, "the alarm's end", func() bool { return staleFile(t, b, "mqtt.usersFile") == 0 })
	stays.quiet()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the alarm for a missing file", func() bool { return staleFile(t, b, "mqtt.usersFile") == 1 })
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "its end when the file is back as it was", func() bool { return staleFile(t, b, "mqtt.usersFile") == 0 })
	dial(t, b, 5).ok(login{id: "3", user: "new", password: "pw", clean: true})
	write("users:\n" + user("keep", "another"))
	if body := stays.want(14); body[0] != 0x87 {
		t.Errorf("after a change of the password: DISCONNECT %#x, want 0x87", body[0])
	}
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, _ = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name)})
	return a
}

func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if c.SerialNumber == nil {
		c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}
}

func (a *authority) client(name string, change func(*x509.Certificate)) *tls.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if change != nil {
		change(c)
	}
	_, _, cert := a.make(c)
	return &cert
}

// startMTLS runs a broker that asks clients for certificates, whose names are users.
func startMTLS(t *testing.T, ca *authority, require bool, by string) (b *Broker, revoked string) {
	t.Helper()
	dir := t.TempDir()
	server, err := devca.Ensure(filepath.Join(dir, "server"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	caFile, revoked := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "revoked")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(revoked, []byte("# none yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	certs, err := NewCertificates(CertificateOptions{Require: require, CAFile: caFile, User: by, RevokedFile: revoked})
	if err != nil {
		t.Fatal(err)
	}
	b, _ = start(t, func(o *Options) {
		o.Users, o.Certificates = users(t), certs
		o.Listeners[0].TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server}}
	})
	return b, revoked
}

// dialTLS is dial over TLS with a certificate, nil for none.
func dialTLS(t *testing.T, b *Broker, cert *tls.Certificate) *client {
	t.Helper()
	c := dial(t, b, 5)
	cfg := &tls.Config{InsecureSkipVerify: true}
	if cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	c.Conn = tls.Client(c.Conn, cfg)
	c.r.Reset(c.Conn)
	return c
}

// refused reports that the client gets no CONNACK.
func (c *client) refused(l login) bool {
	_, _ = c.Write(c.connectPacket(l))
	_, _, err := c.read()
	return err != nil
}

// TestN88ClientCertificates: missing, expired, of another purpose, self-signed, of a stranger, revoked, revoked while connected.
func TestN88ClientCertificates(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	for _, by := range []string{"cn", "san"} {
		b, revoked := startMTLS(t, ca, true, by)
		in := login{id: "x", clean: true}
		for name, cert := range map[string]*tls.Certificate{
			"missing": nil,
			"expired": ca.client("dev", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}),
			"not yet": ca.client("dev", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
			}),
			"of a server":   ca.client("dev", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			"of a stranger": stranger.client("dev", nil),
			"self-signed":   (&authority{t: t}).client("dev", nil),
		} {
			if !dialTLS(t, b, cert).refused(in) {
				t.Errorf("certificate %s: let in", name)
			}
		}
		dev := ca.client("dev", nil)
		c := dialTLS(t, b, dev).ok(in)
		c.publish("dev/1", "x", 1, 1, 0, nil)
		if _, code, _ := ackCode(c.want(4)); code != 0 {
			t.Errorf("publish as dev: %#x", code)
		}
		c.publish("other/1", "x", 1, 2, 0, nil)
		if _, code, _ := ackCode(c.want(4)); code != 0x87 {
			t.Errorf("publish beyond dev's list: %#x", code)
		}
		if body := dialTLS(t, b, dev).connect(login{id: "y", user: "all", password: "pw"}); body[1] != 0x86 {
			t.Errorf("dev's certificate under the name all: %#x", body[1])
		}
		if body := dialTLS(t, b, ca.client("nobody", nil)).connect(in); body[1] != 0x86 {
			t.Errorf("a certificate of no user: %#x", body[1])
		}
		if err := os.WriteFile(revoked, []byte("serial="+strings.ToUpper(dev.Leaf.SerialNumber.Text(16))+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if body := c.want(14); body[0] != 0x87 {
			t.Errorf("revoked while connected: DISCONNECT %#x", body[0])
		}
		if !dialTLS(t, b, dev).refused(in) {
			t.Error("revoked: let in")
		}
	}
}

// TestN88RevocationLists: a CRL counts when an authority of ours signed it; one that cannot be used leaves the last.
func TestN88RevocationLists(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	b, revoked := startMTLS(t, ca, false, "")
	dev, other := ca.client("dev", nil), ca.client("other", nil)
	in := login{id: "x", user: "dev", password: "pw", clean: true}
	dialTLS(t, b, nil).ok(in) // optional
	list := func(signer *authority, serial *big.Int) []byte {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: serial, RevocationTime: time.Now()}},
		}, signer.cert, signer.key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	}
	put := func(text []byte) {
		if err := os.WriteFile(revoked, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(list(ca, dev.Leaf.SerialNumber))
	eventually.Must(t, "the list", func() bool { return b.opts.Certificates.check(dev.Leaf) != nil })
	if !dialTLS(t, b, dev).refused(in) {
		t.Error("revoked by a CRL: let in")
	}
	dialTLS(t, b, other).ok(in)
	for name, bad := range map[string][]byte{"of a stranger": list(stranger, other.Leaf.SerialNumber), "nonsense": []byte("not hexadecimal\n"), "half a file": list(ca, dev.Leaf.SerialNumber)[:100]} {
		put(bad)
		eventually.Must(t, "the alarm for a list "+name, func() bool { return staleFile(t, b, "mqtt.tls.revokedFile") == 1 })
		if b.opts.Certificates.check(dev.Leaf) == nil || b.opts.Certificates.check(other.Leaf) != nil {
			t.Errorf("list %s: it counts, or the last does not", name)
		}
		put(list(ca, dev.Leaf.SerialNumber))
		eventually.Must(t, "the alarm's end", func() bool { return staleFile(t, b, "mqtt.tls.revokedFile") == 0 })
	}
}

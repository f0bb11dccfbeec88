package external

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// authority signs certificates for the brokers and clients of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.file, _ = a.write(name, a.cert, a.key)
	return a
}

// issue returns the files of a certificate with its key.
func (a *authority) issue(name string, from, to time.Duration, names ...string) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return a.write(name, c, k)
}

func (a *authority) write(name string, c *x509.Certificate, k *ecdsa.PrivateKey) (cert, key string) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

// TestN89External: a broker whose certificate is not good, or that speaks no TLS, is not connected to, and the error says
// what is wrong and how to mend it. It goes on being tried, and never in plaintext.
func TestN89External(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	good, goodKey := ours.issue("good", -time.Hour, time.Hour, "127.0.0.1")
	wrong, wrongKey := ours.issue("wrong", -time.Hour, time.Hour, "other.example")
	old, oldKey := ours.issue("old", -2*time.Hour, -time.Hour, "127.0.0.1")
	self, selfKey := theirs.issue("self", -time.Hour, time.Hour, "127.0.0.1")
	client, clientKey := theirs.issue("client", -time.Hour, time.Hour, "x")
	lines := func(cert, key string) string { return fmt.Sprintf("certfile %s\nkeyfile %s\n", cert, key) }
	asks := fmt.Sprintf("cafile %s\nrequire_certificate true\n", ours.file)
	for _, tc := range []struct {
		name, lines string
		change      func(*Options)
		want        []string
	}{
		{"wrong host name", lines(wrong, wrongKey), nil, []string{"other.example", "127.0.0.1", "external.site-a.tls.serverName"}},
		{"wrong name asked for", lines(good, goodKey), func(o *Options) { o.ServerName = "mqtt.internal" }, []string{"not for mqtt.internal", "external.site-a.tls.serverName"}},
		{"expired", lines(old, oldKey), nil, []string{"expired", "renew"}},
		{"unknown authority", lines(self, selfKey), nil, []string{"unknown authority", "external.site-a.tls.ca"}},
		{"the system's authorities only", lines(good, goodKey), func(o *Options) { o.CAFile = "" }, []string{"unknown authority", "external.site-a.tls.ca"}},
		{"plaintext", "", nil, []string{"TLS handshake", "never falls back"}},
		{"no client certificate", lines(good, goodKey) + asks, nil, []string{"ended TLS", "external.site-a.tls.cert"}},
		{"client certificate of another authority", lines(good, goodKey) + asks, func(o *Options) { o.CertFile, o.KeyFile = client, clientKey }, []string{"ended TLS", "external.site-a.tls.cert"}},
		{"TLS spoken to in plaintext", lines(good, goodKey), func(o *Options) { o.TLS = false }, []string{"mqtts://"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			broker := brokertest.New(t, brokertest.Lines+tc.lines)
			o := testOptions(t, broker.Addr)
			o.TLS, o.CAFile = true, ours.file
			if tc.change != nil {
				tc.change(&o)
			}
			r := start(t, o)
			eventually.Must(t, "two attempts", func() bool {
				n := 0.0
				for _, why := range []string{"tls", "connect", "network"} {
					n += r.count(o.Metrics.External.Failures, "site-a", why)
				}
				return n >= 2
			})
			st := r.s.Status()
			if st.Connected || !containsAll(st.Error, append(tc.want, "site-a", broker.Addr)...) {
				t.Errorf("%+v lacks one of %q", st, tc.want)
			}
			if n := r.count(o.Metrics.External.Connects, "site-a"); n != 0 {
				t.Errorf("connected %g times", n)
			}
		})
	}
}

// TestTLSAndPassword: the good way in, with everything asked for; a renewed certificate and a new password need no restart.
func TestTLSAndPassword(t *testing.T) {
	ours := newAuthority(t, "ours")
	cert, key := ours.issue("server", -time.Hour, time.Hour, "mqtt.internal")
	client, clientKey := ours.issue("client", -time.Hour, time.Hour, "client")
	passwords, credentials := filepath.Join(ours.dir, "passwd"), filepath.Join(ours.dir, "cred")
	setPassword := func(text string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "mosquitto_passwd", "-b", "-c", passwords, "bridge", text).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v %s", err, out)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(credentials, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	setPassword("first")
	write("bridge\nfirst\n")
	broker := brokertest.New(t, fmt.Sprintf("allow_anonymous false\npassword_file %s\npersistence true\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n", passwords, ours.file, cert, key))
	o := testOptions(t, broker.Addr)
	o.TLS, o.ServerName, o.CAFile, o.CertFile, o.KeyFile, o.CredentialsFile = true, "mqtt.internal", ours.file, client, clientKey, credentials
	r := start(t, o).connected()
	if err := r.s.Publish(t.Context(), "site-a/x", []byte("1"), 1); err != nil {
		t.Error(err)
	}
	entries(t, r.j, 1)
	setPassword("second")
	broker.Restart()
	eventually.Must(t, "the old password to be refused", func() bool {
		return containsAll(r.s.Status().Error, "0x8", "credentialsFile") && !r.s.Status().Connected
	})
	if containsAll(r.s.Status().Error, "first") {
		t.Error("the password is in the error")
	}
	write("bridge\r\nsecond\r\n")
	r.connected()
}

// TestNewChecksItsFiles: what is named must be there and make sense before anything starts.
func TestNewChecksItsFiles(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no authority":    {func(o *Options) { o.CAFile = filepath.Join(dir, "none") }, "external.site-a.tls.ca"},
		"bad authority":   {func(o *Options) { o.CAFile = junk }, "no certificate in PEM"},
		"no certificate":  {func(o *Options) { o.CertFile, o.KeyFile = junk, junk }, "external.site-a.tls"},
		"no credentials":  {func(o *Options) { o.CredentialsFile = filepath.Join(dir, "none") }, "external.site-a.credentialsFile"},
		"bad credentials": {func(o *Options) { o.CredentialsFile = junk }, "two lines"},
	} {
		o := testOptions(t, "127.0.0.1:1")
		o.TLS = true
		tc.change(&o)
		if _, err := New(o); err == nil || !containsAll(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

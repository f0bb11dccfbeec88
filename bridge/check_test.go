package bridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
)

// TestCheck: what New would refuse because of a file is refused here, all at once, with the setting's name; and nothing is made.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := pair(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	oldCert, oldKey := pair(t, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	good, other := config.TLS{Cert: file("c.pem", cert), Key: file("k.pem", key)}, config.TLS{Cert: file("oc.pem", oldCert), Key: file("ok.pem", oldKey)}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"defaults", func(*Config) {}, nil},
		{"good files", func(c *Config) {
			c.Viewers.TLS = good
			c.MQTT.TLS.Cert, c.MQTT.TLS.Key = good.Cert, good.Key
			c.Auth.RevocationFile = file("r", "sub:anna\n")
			c.Auth.JWT.SecretFile = file("s", strings.Repeat("0123456789abcdef", 3))
		}, nil},
		{"weak secret", func(c *Config) { c.Auth.JWT.SecretFile = file("w", "geheim") }, []string{"32"}},
		{"no secret", func(c *Config) { c.Auth.JWT.SecretFile = filepath.Join(dir, "nowhere") }, []string{"auth.jwt.secretFile", "nowhere"}},
		{"no users", func(c *Config) { c.MQTT.UsersFile = filepath.Join(dir, "nowhere") }, []string{"mqtt.usersFile", "nowhere"}},
		{"bad users", func(c *Config) { c.MQTT.UsersFile = file("u", "users: [{name: a, hash: geheim}]\n") }, []string{"mqtt.usersFile", `"a"`, "hash"}},
		{"bad revocations", func(c *Config) { c.Auth.RevocationFile = file("x", "anna\n") }, []string{"line 1"}},
		{"expired", func(c *Config) { c.Viewers.TLS = other }, []string{"viewers.tls", "renew"}},
		{"key of another", func(c *Config) { c.Viewers.TLS = config.TLS{Cert: good.Cert, Key: other.Key} }, []string{"viewers.tls", "match"}},
		{"no certificate", func(c *Config) { c.MQTT.TLS.Cert, c.MQTT.TLS.Key = filepath.Join(dir, "nowhere"), good.Key }, []string{"mqtt.tls", "nowhere"}},
		{"external, nothing there", func(c *Config) {
			e := config.DefaultExternal("site")
			e.URL, e.Prefix = "mqtts://broker.example", "s/"
			e.CredentialsFile, e.TLS.CA = filepath.Join(dir, "nowhere1"), filepath.Join(dir, "nowhere2")
			e.TLS.Cert, e.TLS.Key = good.Cert, other.Key
			c.External = append(c.External, e)
		}, []string{"external.site.credentialsFile", "nowhere1", "external.site.tls.ca", "nowhere2", "external.site.tls", "match"}},
		{"a bad value", func(c *Config) { c.Log.Level = "loud" }, []string{"log.level"}},
		{"two faults", func(c *Config) {
			c.Viewers.TLS = other
			c.Auth.JWT.SecretFile = file("w", "geheim")
		}, []string{"viewers.tls", "32"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(filepath.Join(t.TempDir(), "data"))
			tc.change(&c)
			err := Check(c)
			if len(tc.want) == 0 && err != nil || len(tc.want) > 0 && !errors.Is(err, ErrConfig) {
				t.Fatalf("Check: %v", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "geheim") {
					t.Errorf("%q, want %q and no secret", err, part)
				}
			}
			if _, err := os.Stat(c.Data); !os.IsNotExist(err) {
				t.Errorf("the data folder was made: %v", err)
			}
		})
	}
}

// pair returns a certificate for localhost and its key as PEM.
func pair(t *testing.T, from, to time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

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
	client, clientKey := pairFor(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
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
		{"a tenant revoked without tenants", func(c *Config) { c.Auth.RevocationFile = file("xt", "tenant:a\n") }, []string{"line 1", "auth.tenantPrefix"}},
		{"a tenant revoked", func(c *Config) {
			c.Auth.RevocationFile, c.Auth.TenantPrefix = file("xt", "tenant:a\n"), "tenants/{tenant}/"
		}, nil},
		{"expired", func(c *Config) { c.Viewers.TLS = other }, []string{"viewers.tls", "renew"}},
		{"expired, of operators", func(c *Config) { c.Ops.TLS = other }, []string{"ops.tls", "renew"}},
		{"key of another", func(c *Config) { c.Viewers.TLS = config.TLS{Cert: good.Cert, Key: other.Key} }, []string{"viewers.tls", "match"}},
		{"no certificate", func(c *Config) { c.MQTT.TLS.Cert, c.MQTT.TLS.Key = filepath.Join(dir, "nowhere"), good.Key }, []string{"mqtt.tls", "nowhere"}},
		{"external, nothing there", func(c *Config) {
			e := config.DefaultExternal("site")
			e.URL, e.Prefix = "mqtts://broker.example", "s/"
			e.CredentialsFile, e.TLS.CA = filepath.Join(dir, "nowhere1"), filepath.Join(dir, "nowhere2")
			e.TLS.Cert, e.TLS.Key = good.Cert, other.Key
			c.External = append(c.External, e)
		}, []string{"external.site.credentialsFile", "nowhere1", "external.site.tls.ca", "nowhere2", "external.site.tls", "match"}},
		{"a client certificate that names no host", func(c *Config) {
			e := config.DefaultExternal("site")
			e.URL, e.Prefix, e.TLS.Cert, e.TLS.Key = "mqtts://broker.example", "s/", file("cc.pem", client), file("ck.pem", clientKey)
			c.External = append(c.External, e)
		}, nil},
		{"external, nonsense", func(c *Config) {
			e := config.DefaultExternal("site")
			e.URL, e.Prefix, e.TLS.CA, e.CredentialsFile = "mqtts://broker.example", "s/", file("nca.pem", "geheim"), file("ncr", "geheim\n\nx\n")
			c.External = append(c.External, e)
		}, []string{"external.site.tls.ca", "PEM", "external.site.credentialsFile", "two lines"}},
		{"authorities of clients", func(c *Config) {
			c.MQTT.TLS.Cert, c.MQTT.TLS.Key, c.MQTT.TLS.ClientAuth = good.Cert, good.Key, "require"
			c.MQTT.TLS.ClientCA = filepath.Join(dir, "nowhere")
		}, []string{"mqtt.tls.clientCA", "nowhere"}},
		{"revoked certificates", func(c *Config) {
			c.MQTT.TLS.Cert, c.MQTT.TLS.Key, c.MQTT.TLS.ClientAuth = good.Cert, good.Key, "require"
			c.MQTT.TLS.ClientCA, c.MQTT.TLS.RevokedFile = good.Cert, filepath.Join(dir, "nowhere")
		}, []string{"mqtt.tls.revokedFile", "nowhere"}},
		{"no users wanted", func(c *Config) {
			c.MQTT.Listen, c.MQTT.UsersFile, c.External = "", filepath.Join(dir, "nowhere"), oneExternal()
		}, nil},
		{"authorities of the key set", func(c *Config) {
			c.Auth.JWT.KeySetURL, c.Auth.JWT.KeySetCA = "https://login.example/keys", filepath.Join(dir, "nowhere")
		}, []string{"auth.jwt.keySetCA", "nowhere"}},
		{"a secret that is a folder", func(c *Config) {
			c.Data = t.TempDir()
			if err := os.Mkdir(filepath.Join(c.Data, "jwt.key"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"jwt.key"}},
		{"a secret that a crash left empty, which the start makes", func(c *Config) {
			c.Data = t.TempDir()
			if err := os.WriteFile(filepath.Join(c.Data, "jwt.key"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"an empty secret of the operator's", func(c *Config) { c.Auth.JWT.SecretFile = file("ws", "") }, []string{"32"}},
		{"no DSN", func(c *Config) {
			c.History.Store, c.History.Postgres.DSNFile = "postgres", filepath.Join(dir, "nowhere")
		}, []string{"history.postgres", "nowhere"}},
		{"DSN without TLS", func(c *Config) {
			c.History.Store, c.History.Postgres.DSNFile = "postgres", file("dsn", "postgres://u:geheim@db.example/d?sslmode=disable")
		}, []string{"history.postgres", "verify-full"}},
		{"no authority and no token of InfluxDB", func(c *Config) {
			c.History.Store, c.History.Influx.URL = "influx", "https://db.example"
			c.History.Influx.CA, c.History.Influx.CredentialsFile = filepath.Join(dir, "nowhere1"), filepath.Join(dir, "nowhere2")
		}, []string{"history.influx", "nowhere1", "nowhere2"}},
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
			if _, err := os.Stat(filepath.Join(c.Data, "journal")); !os.IsNotExist(err) {
				t.Errorf("something was made: %v", err)
			}
		})
	}
}

// oneExternal is a broker that needs no file.
func oneExternal() []config.External {
	e := config.DefaultExternal("site")
	e.URL = "mqtts://broker.example"
	return []config.External{e}
}

// pair returns a certificate for localhost and its key as PEM.
func pair(t *testing.T, from, to time.Time) (cert, key string) {
	t.Helper()
	return pairFor(t, from, to, "localhost")
}

// pairFor returns a certificate for some hosts and its key as PEM.
func pairFor(t *testing.T, from, to time.Time, hosts ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: hosts, NotBefore: from, NotAfter: to}
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

package external

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/catest"
	"plumbline/bridge/internal/eventually"
)

// TestN89External: a broker whose certificate is not good, or that speaks no TLS, is not connected to, and the error says
// what is wrong and how to mend it. It goes on being tried, and never in plaintext.
func TestN89External(t *testing.T) {
	ours, theirs := catest.New(t, "ours"), catest.New(t, "theirs")
	good, goodKey := ours.Issue("good", "127.0.0.1")
	wrong, wrongKey := ours.Issue("wrong", "other.example")
	old, oldKey := ours.IssueFor(-2*time.Hour, -time.Hour, "old", "127.0.0.1")
	self, selfKey := theirs.Issue("self", "127.0.0.1")
	client, clientKey := theirs.Issue("client", "x")
	lines := func(cert, key string) string { return fmt.Sprintf("certfile %s\nkeyfile %s\n", cert, key) }
	asks := fmt.Sprintf("cafile %s\nrequire_certificate true\n", ours.File)
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
			o.TLS, o.CAFile = true, ours.File
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
	ours := catest.New(t, "ours")
	cert, key := ours.Issue("server", "mqtt.internal")
	client, clientKey := ours.Issue("client", "client")
	passwords, credentials := filepath.Join(ours.Dir, "passwd"), filepath.Join(ours.Dir, "cred")
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
	broker := brokertest.New(t, fmt.Sprintf("allow_anonymous false\npassword_file %s\npersistence true\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n", passwords, ours.File, cert, key))
	o := testOptions(t, broker.Addr)
	o.TLS, o.ServerName, o.CAFile, o.CertFile, o.KeyFile, o.CredentialsFile = true, "mqtt.internal", ours.File, client, clientKey, credentials
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

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumbline/bridge"
)

// TestDashboardCommand: what it prints opens the page of the running bridge as whom it says, once, and holds no token.
func TestDashboardCommand(t *testing.T) {
	data := t.TempDir()
	p := begin(t, data, bridge.Addresses{})
	code, out, errs := invoke(t, "", "dashboard", "--set", "data="+data, "--sub", "wall", "--grants", "plant/#", "--ttl", "8h")
	if code != exitOK || errs != "" || strings.Contains(out, "eyJ") || !strings.Contains(out, filepath.Join(data, "tls", "ca.pem")) {
		t.Fatalf("exit %d, %s %s", code, out, errs)
	}
	link := regexp.MustCompile(`(https://[^/\s]+/)#code=(\S+)`).FindStringSubmatch(out)
	if link == nil || link[1] != "https://"+p.addrs.Viewers+"/" {
		t.Fatalf("no link in %s", out)
	}
	pem, err := os.ReadFile(filepath.Join(data, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link[1]+"session", strings.NewReader(`{"code":"`+link[2]+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", strings.TrimSuffix(link[1], "/"))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
		if cookies := resp.Cookies(); want == http.StatusOK {
			code, out, _ := invoke(t, cookies[0].Value, "token", "--set", "data="+data, "--verify", "-")
			if code != exitOK || !strings.Contains(out, `"sub": "wall"`) || !strings.Contains(out, `"plant/#"`) {
				t.Errorf("the cookie is worth: %s", out)
			}
		}
	}
	if strings.Contains(p.log.String(), link[2]) {
		t.Error("the code is in the log")
	}
	_, out, _ = invoke(t, "", "dashboard", "--set", "data="+data, "--sub", "wall", "--grants", "#", "--url", "https://plant.example")
	if !strings.Contains(out, "https://plant.example/#code=") {
		t.Errorf("with --url: %s", out)
	}
}

func TestDashboardCommandRefuses(t *testing.T) {
	data := t.TempDir()
	who := []string{"--sub", "wall", "--grants", "#"}
	if err := os.WriteFile(filepath.Join(data, "jwt.key"), bytes.Repeat([]byte("0123456789abcdef"), 4), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nobody runs":   {append([]string{"dashboard", "--set", "data=" + data}, who...), exitUnavailable, "start it first"},
		"no page":       {append([]string{"dashboard", "--set", "data=" + data, "--set", "viewers.dashboard=false"}, who...), exitUsage, "viewers.dashboard"},
		"no subject":    {[]string{"dashboard", "--set", "data=" + data, "--grants", "#"}, exitUsage, "--sub"},
		"never started": {append([]string{"dashboard", "--set", "data=" + t.TempDir()}, who...), exitUsage, "start it once"},
	} {
		code, out, errs := invoke(t, "", tc.args...)
		if code != tc.code || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: exit %d, %q %s, want %s", name, code, out, errs, tc.want)
		}
	}
	p := begin(t, t.TempDir(), bridge.Addresses{})
	for _, bad := range []string{"plant.example", "ftp://x", "https://x/page", "https://x/?q", "https://"} {
		code, out, errs := invoke(t, "", append([]string{"dashboard", "--set", "data=" + p.data, "--url", bad}, who...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "--url") {
			t.Errorf("--url %s: exit %d, %q %s", bad, code, out, errs)
		}
	}
}

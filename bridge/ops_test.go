package bridge

import (
	"io"
	"net/http"
	"testing"
)

// opsGet asks the operators' listener.
func (r *running) opsGet(path string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.b.Addresses().Ops+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestN99OperatorsPathsStayOffThePublicListener: metrics, health and profiles are on the private listener only, and profiles
// only by setting.
func TestN99OperatorsPathsStayOffThePublicListener(t *testing.T) {
	paths := []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/cmdline", "/debug/vars"}
	for _, on := range []bool{false, true} {
		r := run(t, func(c *Config) { c.Ops.Pprof = on })
		for _, path := range paths {
			if resp := r.handshake("https://"+r.b.Addresses().Viewers+path, http.Header{}); resp.StatusCode != http.StatusNotFound {
				t.Errorf("pprof %v: %s on the viewers' listener: %d, want 404", on, path, resp.StatusCode)
			}
		}
		want := http.StatusNotFound
		if on {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
			if code, _ := r.opsGet(path); code != want {
				t.Errorf("pprof %v: %s on the operators' listener: %d, want %d", on, path, code, want)
			}
		}
	}
}

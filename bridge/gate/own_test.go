package gate

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// own is a gate whose listener is bridge.example, as its certificate says.
func own(o *Options) {
	o.Own = func(host string) bool { return host == "bridge.example" || host == "::1" }
}

// TestN106OwnOrigin: the bridge's own page may come unlisted, and only it: the origin must be that of the request itself, scheme and port
// included, under a name that is the bridge's.
func TestN106OwnOrigin(t *testing.T) {
	tok := newBench(t, nil).token("anna")
	for _, tc := range []struct {
		name, host, origin string
		tls                bool
		want               string
	}{
		{"own page", "bridge.example:8443", "https://bridge.example:8443", true, ""},
		{"own page on the default port", "bridge.example", "https://bridge.example", true, ""},
		{"own page behind a tunnel", "bridge.example:9000", "https://bridge.example:9000", true, ""},
		{"own page by address", "[::1]:8443", "https://[::1]:8443", true, ""},
		{"own page without TLS", "bridge.example:8080", "http://bridge.example:8080", false, ""},
		{"a name of somebody else's, bound to this address", "evil.example:8443", "https://evil.example:8443", true, ReasonOrigin},
		{"the same without TLS", "evil.example:8080", "http://evil.example:8080", false, ReasonOrigin},
		{"another port of the host", "bridge.example:8443", "https://bridge.example:9443", true, ReasonOrigin},
		{"the host without its port", "bridge.example:8443", "https://bridge.example", true, ReasonOrigin},
		{"plain http of the host", "bridge.example:8443", "http://bridge.example:8443", true, ReasonOrigin},
		{"https of a plain listener", "bridge.example:8443", "https://bridge.example:8443", false, ReasonOrigin},
		{"another host", "bridge.example:8443", "https://evil.example:8443", true, ReasonOrigin},
		{"the host with a user", "bridge.example:8443", "https://x@bridge.example:8443", true, ReasonOrigin},
		{"no host", "", "https://", true, ReasonOrigin},
		{"null", "bridge.example:8443", "null", true, ReasonOrigin},
	} {
		for kind, header := range map[string][]string{"bearer": {"Authorization", "Bearer " + tok}, "cookie": {"Cookie", cookie + "=" + tok}} {
			r := upgrade(append(header, "Origin", tc.origin)...)
			r.Host, r.TLS = tc.host, nil
			if tc.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if _, err := newBench(t, own).FromRequest(r); err == nil && tc.want != "" || err != nil && Reason(err) != tc.want {
				t.Errorf("%s by %s: %v, want %q", tc.name, kind, err, tc.want)
			}
			if _, err := newBench(t, nil).FromRequest(r); Reason(err) != ReasonOrigin {
				t.Errorf("%s by %s, where there is no page: %v", tc.name, kind, err)
			}
		}
	}
}

// TestN107ChangesNeedTheOrigin: no page of another origin, of the same host neither, has a change made with the cookie; a page of its own
// can, and a program with a header need not name any.
func TestN107ChangesNeedTheOrigin(t *testing.T) {
	tok := newBench(t, nil).token("anna")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "PATCH"} {
		for name, tc := range map[string]struct {
			header []string
			want   string
		}{
			"own page":                {[]string{"Cookie", cookie + "=" + tok, "Origin", "https://bridge.example:8443", "Sec-Fetch-Site", "same-origin"}, ""},
			"another port":            {[]string{"Cookie", cookie + "=" + tok, "Origin", "https://bridge.example:9", "Sec-Fetch-Site", "same-site"}, ReasonOrigin},
			"no origin":               {[]string{"Cookie", cookie + "=" + tok}, ReasonOrigin},
			"no origin, own by claim": {[]string{"Cookie", cookie + "=" + tok, "Sec-Fetch-Site", "same-origin"}, ReasonOrigin},
			"a form of another site":  {[]string{"Cookie", cookie + "=" + tok, "Origin", "null", "Sec-Fetch-Site", "cross-site"}, ReasonOrigin},
			"a program":               {[]string{"Authorization", "Bearer " + tok}, ""},
		} {
			r := request(method, "/api/v1/layouts/x", tc.header...)
			r.Host, r.TLS = "bridge.example:8443", &tls.ConnectionState{}
			if _, err := newBench(t, own).FromRequest(r); err == nil && tc.want != "" || err != nil && Reason(err) != tc.want {
				t.Errorf("%s %s: %v, want %q", method, name, err, tc.want)
			}
		}
	}
}

// TestCleanURL: a page is not served under an URL with a credential, which is counted and not logged.
func TestCleanURL(t *testing.T) {
	b := newBench(t, nil)
	page := b.CleanURL(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for target, want := range map[string]int{
		"/": 204, "/?layout=hall&filter=plant%2F%23": 204, "/?token=" + b.token("anna"): 400, "/?x=" + b.token("anna"): 400, "/?ticket=" + b.ask(): 400, "/?ticket=": 400,
	} {
		if resp := serve(page, request(http.MethodGet, target)); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, resp.StatusCode, want)
		}
	}
}

package gate

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/auth"
)

// login sends text to the session endpoint.
func (b *bench) login(r *http.Request, text string) *http.Response {
	r.Body = io.NopCloser(strings.NewReader(text))
	return serve(b.Session(), r)
}

func TestN91SessionCookie(t *testing.T) {
	b := newBench(t, nil)
	tok := b.token("anna")
	resp := b.login(request("POST", "/session", "Origin", page), `{"token":"`+tok+`"}`)
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		t.Fatalf("login: %d", resp.StatusCode)
	}
	c := resp.Cookies()[0]
	if c.Name != cookie || c.Value != tok || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 60 {
		t.Errorf("cookie %+v", c)
	}
	h := resp.Header
	if h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
	for name, tc := range map[string]struct {
		req    *http.Request
		text   string
		status int
	}{
		"another origin":           {request("POST", "/session", "Origin", "https://evil.example"), `{"token":"` + tok + `"}`, 403},
		"bearer":                   {request("POST", "/session", "Authorization", "Bearer "+tok), "", 200},
		"nothing":                  {request("POST", "/session"), "", 401},
		"the cookie is no token":   {request("POST", "/session", "Origin", page, "Cookie", cookie+"="+tok), "", 401},
		"a bad token":              {request("POST", "/session"), `{"token":"a.b.c"}`, 401},
		"no object":                {request("POST", "/session"), `"` + tok + `"`, 400},
		"twice":                    {request("POST", "/session"), `{"token":"` + tok + `","token":""}`, 400},
		"a long body":              {request("POST", "/session"), strings.Repeat(" ", 3*auth.MaxTokenBytes), 400},
		"another method":           {request("PUT", "/session"), "", 405},
		"preflight":                {request("OPTIONS", "/session", "Origin", page), "", 204},
		"logout without origin":    {request("DELETE", "/session", "Cookie", cookie+"="+tok), "", 403},
		"logout with a bad cookie": {request("DELETE", "/session", "Origin", page, "Cookie", cookie+"=x"), "", 401},
	} {
		resp := newBench(t, nil).login(tc.req, tc.text)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tc.status)
		}
		for _, c := range resp.Cookies() {
			if c.Value != "" && tc.status != 200 || tc.status == 403 {
				t.Errorf("%s: cookie %+v", name, c)
			}
		}
	}
}

// TestSessionOfWhatIsNoToken: a cookie is made of a token that fits into one, never of a ticket, and a page that is not listed may not
// read the answer.
func TestSessionOfWhatIsNoToken(t *testing.T) {
	b := newBench(t, nil)
	long, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "anna", "iss": "plumbline", "aud": "bridge", "exp": b.now.Unix() + 60, "more": strings.Repeat("x", maxCookieToken),
	}).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	for reason, r := range map[string]*http.Request{
		"size":       request("POST", "/session", "Authorization", "Bearer "+long),
		ReasonTicket: request("POST", "/session?ticket="+b.ask()),
		ReasonOrigin: request("POST", "/session", "Authorization", "Bearer "+b.token("anna"), "Origin", "https://evil.example"),
	} {
		resp := b.login(r, "")
		raw, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode < 400 || !strings.Contains(string(raw), `"`+reason+`"`) || len(resp.Cookies()) != 0 {
			t.Errorf("%s: %d %s, cookies %v", reason, resp.StatusCode, raw, resp.Cookies())
		}
		if allowed := resp.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
			t.Errorf("%s: %s may read it", reason, allowed)
		}
	}
}

// TestLogoutEndsTheToken: not only the cookie goes; a copy of the token is worth nothing, after a restart neither.
func TestLogoutEndsTheToken(t *testing.T) {
	b := newBench(t, nil)
	kept := filepath.Join(t.TempDir(), "ended")
	if err := b.list.KeepEnded(kept); err != nil {
		t.Fatal(err)
	}
	tok, other := b.token("anna"), b.token("ben")
	in := upgrade("Cookie", cookie+"="+tok, "Origin", page)
	if _, err := b.FromRequest(in); err != nil {
		t.Fatalf("before the logout: %v", err)
	}
	out := serve(b.Session(), request("DELETE", "/session", "Origin", page, "Cookie", cookie+"="+tok))
	if out.StatusCode != http.StatusNoContent || len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge >= 0 || out.Cookies()[0].Value != "" {
		t.Errorf("logout: %d %v", out.StatusCode, out.Cookies())
	}
	again := newBench(t, nil)
	if err := again.list.KeepEnded(kept); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*bench{"now": b, "after a restart": again} {
		if _, err := b.FromRequest(in); Reason(err) != ReasonRevoked {
			t.Errorf("%s, the cookie: %v", name, err)
		}
		if _, err := b.FromRequest(request("GET", "/", "Authorization", "Bearer "+tok)); Reason(err) != ReasonRevoked {
			t.Errorf("%s, the token by header: %v", name, err)
		}
		if _, err := b.FromRequest(request("GET", "/", "Authorization", "Bearer "+other)); err != nil {
			t.Errorf("%s, another token: %v", name, err)
		}
	}
}

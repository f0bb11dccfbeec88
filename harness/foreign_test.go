package harness

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"

	"plumbline/harness/browser"
)

// What a page of somebody else on the host asks of a system goes there with the cookies
// of the system's own page, the strictest too, over TLS and without. A cookie that a
// browser withholds is told of. One that names no path goes where this browser sends it.
func TestAForeignPageHasTheCookies(t *testing.T) {
	const strict, deep, bare = "session", "deep", "bare"
	type system struct {
		url    string
		client *http.Client
		site   *foreignSite
		stolen atomic.Bool
	}
	systems, pins := []*system{}, []string{}
	for _, secure := range []bool{false, true} {
		s := &system{}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch _, err := r.Cookie(strict); r.URL.Path {
			case "/":
				http.SetCookie(w, &http.Cookie{Name: strict, Value: "me", Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode})
				http.SetCookie(w, &http.Cookie{Name: deep, Value: "me", Path: "/ws", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode})
			case "/app/in":
				http.SetCookie(w, &http.Cookie{Name: bare, Value: "me", HttpOnly: true, Secure: secure})
			case "/ws":
				s.stolen.Store(err == nil)
			}
		}))
		start := server.Start
		if secure {
			start = server.StartTLS
		}
		start()
		t.Cleanup(server.Close)
		s.url, s.client = server.URL, server.Client()
		address, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		if s.site, err = openForeign(address); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.site.close() })
		if secure {
			sum := sha256.Sum256(server.Certificate().RawSubjectPublicKeyInfo)
			pins = append(pins, s.site.pin, base64.StdEncoding.EncodeToString(sum[:]))
		}
		systems = append(systems, s)
	}
	b, err := browser.Start(t.Context(), browser.Options{Trust: pins})
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	known := []*http.Cookie{{Name: strict, Path: "/"}, {Name: deep, Path: "/ws"}, {Name: "elsewhere", Path: "/api"}, {Name: "over", MaxAge: -1}}
	for _, s := range systems { // plain first: it may not replace what is Secure
		checkBare(t, b, s.url, s.client, s.site, bare)
		if _, err := b.Evaluate(t.Context(), s.url, "0"); err != nil {
			t.Fatal(err)
		}
		attack := fmt.Sprintf("fetch(%q, {mode: 'no-cors', credentials: 'include'}).then(() => location.origin)", s.url+"/ws")
		got, withheld, err := s.site.evaluate(t.Context(), b, "/ws", known, attack)
		if err != nil || got != s.site.origin || len(withheld) > 0 || !s.stolen.Load() {
			t.Errorf("the page at %q asked %s with the cookie: %v; withheld %v; %v", got, s.url, s.stolen.Load(), withheld, err)
		}
		if _, withheld, err = s.site.evaluate(t.Context(), b, "/ws", append(known, &http.Cookie{Name: "never set", Path: "/"}), "0"); err != nil || !slices.Equal(withheld, []string{"never set"}) {
			t.Errorf("%s: withheld %q, %v", s.url, withheld, err)
		}
	}
}

// checkBare holds what is known of a cookie without a path against what the browser does
// with it.
func checkBare(t *testing.T, b *browser.Browser, system string, client *http.Client, site *foreignSite, bare string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, system+"/app/in", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	known := cookiesOf(answer)
	if _, err := b.Evaluate(t.Context(), system+"/app/in", "0"); err != nil {
		t.Fatal(err)
	}
	for _, to := range []struct {
		path string
		goes bool
	}{{"/ws", false}, {"/application", false}, {"/app/ws", true}} {
		_, withheld, err := site.evaluate(t.Context(), b, to.path, known, "0")
		site.mu.Lock()
		came := slices.Contains(site.cookies, bare)
		site.mu.Unlock()
		if err != nil || len(known) != 1 || len(withheld) > 0 || came != to.goes {
			t.Errorf("%s: of %v the browser sends to %s: %v, taken for withheld: %q; %v", system, known, to.path, came, withheld, err)
		}
	}
}

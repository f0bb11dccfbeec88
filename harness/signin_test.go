package harness

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a system says goes into facts and reports: its first words, without the token and
// the cookie that it may echo, also where they are cut through.
func TestNoSecretIsToldOfWhatASystemSays(t *testing.T) {
	const token, session = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "0123456789abcdef"
	b := &Bench{token: token, cookies: []*http.Cookie{{Name: "session", Value: session}, {Name: "dark", Value: "1"}}}
	for _, said := range []string{
		"the token " + token + " is not good; session " + session,
		strings.Repeat("ä", 190) + token,
		"dark 1 of 1",
	} {
		got := b.excerpt(said)
		if strings.Contains(got, token[:8]) || strings.Contains(got, session) || len([]rune(got)) > excerptLimit {
			t.Errorf("of %q is told %q", said, got)
		}
	}
	if got := b.excerpt("dark 1 of 1"); got != "dark 1 of 1" {
		t.Errorf("a word that is no secret: %q", got)
	}
	if got := (&Bench{}).excerpt("no token here"); got != "no token here" {
		t.Errorf("without a token: %q", got)
	}
}

// A cookie that says where it goes is believed; any other goes beside the address that was
// asked.
func TestWhereACookieGoes(t *testing.T) {
	for _, c := range []struct{ asked, says, want string }{
		{"https://h", "", "/"},
		{"https://h/session", "", "/"},
		{"https://h/api/session?to=/a/b", "", "/api"},
		{"https://h/api/session/", "", "/api/session"},
		{"https://h/a%2Fb/c", "", "/a%2Fb"},
		{"https://h/api/session", "; Path=", "/api"},
		{"https://h/api/session", "; Path=app", "/api"},
		{"https://h/api/session", "; Path=/", "/"},
		{"https://h/api/session", "; Path=/app/", "/app/"},
	} {
		u, err := url.Parse(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		got := cookiesOf(&http.Response{Request: &http.Request{URL: u}, Header: http.Header{"Set-Cookie": {"session=1" + c.says}}})
		if len(got) != 1 || got[0].Path != c.want {
			t.Errorf("of %s with %q: %v, want the path %s", c.asked, c.says, got, c.want)
		}
	}
}

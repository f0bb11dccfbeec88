package bridge

import (
	"net/http"
	"net/url"
	"testing"
)

// TestEventsByCookieAndTicket: a browser's EventSource can set no header; it comes with the session cookie from a listed page, or
// with a ticket, which is good once.
func TestEventsByCookieAndTicket(t *testing.T) {
	r := run(t, withSessions)
	f := r.follower(operator())
	token := f.token
	login := r.ask(http.MethodPost, "/session", `{"token":"`+token+`"}`, "Origin", goodPage)
	if len(login.Cookies()) != 1 {
		t.Fatalf("login: %d", login.StatusCode)
	}
	cookie := login.Cookies()[0].Name + "=" + login.Cookies()[0].Value
	path := "/sse?" + url.Values{"filter": {"#"}}.Encode()
	for name, tc := range map[string]struct {
		path   string
		header []string
		status int
	}{
		"cookie of a listed page":  {path, []string{"Cookie", cookie, "Origin", goodPage}, http.StatusOK},
		"cookie of our own page":   {path, []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		"cookie of another page":   {path, []string{"Cookie", cookie, "Origin", "https://evil.example"}, http.StatusForbidden},
		"cookie of nobody knows":   {path, []string{"Cookie", cookie}, http.StatusForbidden},
		"ticket":                   {path + "&ticket=" + r.ticket(token), nil, http.StatusOK},
		"no ticket":                {path + "&ticket=x", nil, http.StatusUnauthorized},
		"the token in the URL":     {path + "&token=" + token, nil, http.StatusBadRequest},
		"two credentials":          {path + "&ticket=" + r.ticket(token), []string{"Authorization", "Bearer " + token}, http.StatusBadRequest},
		"nothing":                  {path, nil, http.StatusUnauthorized},
		"another page with header": {path, []string{"Authorization", "Bearer " + token, "Origin", "https://evil.example"}, http.StatusForbidden},
	} {
		resp := r.ask(http.MethodGet, tc.path, "", tc.header...)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tc.status)
		}
		_ = resp.Body.Close()
	}
	once := path + "&ticket=" + r.ticket(token)
	_ = r.ask(http.MethodGet, once, "").Body.Close()
	if resp := r.ask(http.MethodGet, once, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a ticket was taken twice: %d", resp.StatusCode)
	}
}

// TestCommandByCookie: a page that is not on the list cannot make the browser send a command with its cookie.
func TestCommandByCookie(t *testing.T) {
	r := run(t, withSessions)
	login := r.ask(http.MethodPost, "/session", `{"token":"`+r.token(operator())+`"}`, "Origin", goodPage)
	if len(login.Cookies()) != 1 {
		t.Fatalf("login: %d", login.StatusCode)
	}
	cookie := login.Cookies()[0].Name + "=" + login.Cookies()[0].Value
	head := r.b.journal.Head()
	const body = `{"topic":"command/1","payload":"on"}`
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "null"}, {}, {"Sec-Fetch-Site", "same-origin"}} {
		if resp := r.ask(http.MethodPost, "/publish", body, append(header, "Cookie", cookie)...); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %d, want 403", header, resp.StatusCode)
		}
	}
	if r.b.journal.Head() != head {
		t.Error("a command of another page is in the journal")
	}
	if resp := r.ask(http.MethodPost, "/publish", body, "Cookie", cookie, "Origin", goodPage); resp.StatusCode != http.StatusOK {
		t.Errorf("of a listed page: %d", resp.StatusCode)
	}
}

package gate

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// codeFor gets a sign-in code by a request's own credential.
func (b *bench) codeFor(header ...string) string {
	b.t.Helper()
	resp := serve(b.Code(), request("POST", "/session/code", header...))
	var got struct {
		Code    string `json:"code"`
		Expires int    `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusCreated || len(got.Code) != codeLetters+1 || got.Expires != 300 || resp.Header.Get("Cache-Control") != "no-store" {
		b.t.Fatalf("code: %d %+v %v", resp.StatusCode, got, err)
	}
	return got.Code
}

// enter signs in with a code and returns the status and the cookie.
func (b *bench) enter(code string) (status int, value string) {
	b.t.Helper()
	raw, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		b.t.Fatal(err)
	}
	resp := b.login(request("POST", "/session", "Origin", page), string(raw))
	for _, c := range resp.Cookies() {
		value = c.Value
	}
	return resp.StatusCode, value
}

// TestSignInByCode: a code makes a session of the token that it was made from, however it is typed, once.
func TestSignInByCode(t *testing.T) {
	b := newBench(t, func(o *Options) { o.FreeFailures = 0 })
	tok := b.token("anna")
	for _, typed := range []func(string) string{
		func(s string) string { return s }, strings.ToLower, func(s string) string { return " " + strings.ReplaceAll(s, "-", " ") + " " },
		func(s string) string { return strings.NewReplacer("0", "o", "1", "l").Replace(s) }, func(s string) string { return strings.ReplaceAll(s, "1", "I") },
	} {
		code := b.codeFor("Authorization", "Bearer "+tok)
		if status, value := b.enter(typed(code)); status != http.StatusOK || value != tok {
			t.Errorf("%q: %d", typed(code), status)
		}
		if status, value := b.enter(code); status != http.StatusUnauthorized || value != "" {
			t.Errorf("%q again: %d", code, status)
		}
	}
	by := b.codeFor("Cookie", cookie+"="+tok, "Origin", page)
	if status, value := b.enter(by); status != http.StatusOK || value != tok {
		t.Errorf("made by the cookie: %d", status)
	}
	if strings.Contains(b.log.String(), strings.ReplaceAll(by, "-", "")) || strings.Contains(b.log.String(), by) || strings.Contains(b.log.String(), tok) {
		t.Errorf("the log gives it away: %s", b.log)
	}
}

// TestN110Codes: guessed, late and forged ones open nothing, and nobody gets many.
func TestN110Codes(t *testing.T) {
	b := newBench(t, nil)
	tok := b.token("anna")
	late := b.codeFor("Authorization", "Bearer "+tok)
	b.now = b.now.Add(CodeLife)
	if status, _ := b.enter(late); status != http.StatusUnauthorized {
		t.Errorf("a late code: %d", status)
	}
	tok = b.token("anna")
	for name, tc := range map[string]struct {
		header []string
		status int
	}{
		"nobody":            {nil, 401},
		"a bad token":       {[]string{"Authorization", "Bearer a.b.c"}, 401},
		"another page":      {[]string{"Cookie", cookie + "=" + tok, "Origin", "https://evil.example"}, 403},
		"no page":           {[]string{"Cookie", cookie + "=" + tok}, 403},
		"a ticket's holder": {nil, 401},
	} {
		target := "/session/code"
		if name == "a ticket's holder" {
			target += "?ticket=" + newBench(t, nil).ask()
		}
		if resp := serve(newBench(t, nil).Code(), request("POST", target, tc.header...)); resp.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tc.status)
		}
	}
	if resp := newBench(t, nil).login(request("POST", "/session"), `{"code":"AAAAA-AAAAA","token":"x"}`); resp.StatusCode != 400 {
		t.Errorf("both: %d", resp.StatusCode)
	}
	guessed := newBench(t, nil) // three bad ones are free, the fourth makes the address wait for a second
	tok = guessed.token("anna")
	open := guessed.codeFor("Authorization", "Bearer "+tok)
	for i := range 20 {
		status, _ := guessed.enter("AAAAA-AAAAA")
		if want := map[bool]int{true: 401, false: 429}[i < 4]; status != want {
			t.Errorf("guess %d: %d, want %d", i, status, want)
		}
	}
	if status, _ := guessed.enter(open); status != http.StatusTooManyRequests {
		t.Errorf("a good one meanwhile: %d", status)
	}
	guessed.now = guessed.now.Add(2 * time.Second)
	if status, value := guessed.enter(open); status != http.StatusOK || value != tok {
		t.Errorf("the good one after the wait: %d", status)
	}
	many := newBench(t, nil)
	for range maxAccountCodes {
		many.codeFor("Authorization", "Bearer "+many.token("anna"))
	}
	if resp := serve(many.Code(), request("POST", "/session/code", "Authorization", "Bearer "+many.token("anna"))); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", resp.StatusCode)
	}
	many.codeFor("Authorization", "Bearer "+many.token("ben"))
}

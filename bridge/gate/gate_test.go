package gate

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/auth"
	"plumbline/bridge/metrics"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

const (
	page   = "https://good.example"
	cookie = "__Host-plumbline"
	here   = "192.0.2.7:4000"
)

// bench is a gate with its clock, its list of revocations and what it logged.
type bench struct {
	*Gate
	t       *testing.T
	now     time.Time
	revoked string // file
	list    *auth.Revocations
	log     *strings.Builder
}

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Unix(1_800_000_000, 0), revoked: filepath.Join(t.TempDir(), "revoked"), log: &strings.Builder{}}
	now := func() time.Time { return b.now }
	v, err := auth.NewVerifier(auth.Options{Alg: "HS256", Key: secret, Issuer: "plumbline", Audience: "bridge", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if b.list, err = auth.NewRevocations(b.revoked, "", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Verifier: v, Revocations: b.list, Origins: []string{page}, Cookie: cookie, Tickets: true, Subprotocol: true, FreeFailures: 3,
		Metrics: metrics.New(), Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: now,
	}
	if change != nil {
		change(&o)
	}
	b.Gate = New(o)
	return b
}

// token signs a token for subject that lasts a minute.
func (b *bench) token(subject string) string {
	b.t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": subject, "iss": "plumbline", "aud": "bridge", "exp": b.now.Unix() + 60, "grants": []string{"#"},
	}).SignedString(secret)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// request makes a request from here with headers given in pairs.
func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = here
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// upgrade makes a WebSocket handshake, as far as the gate looks at it.
func upgrade(header ...string) *http.Request {
	return request("GET", "/ws", append([]string{"Connection", "Upgrade", "Upgrade", "websocket"}, header...)...)
}

// serve answers r by h.
func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// TestN06CookieNeedsOrigin: a credential that the browser adds by itself counts only for the pages on the list; one that was put
// there on purpose counts for programs too.
func TestN06CookieNeedsOrigin(t *testing.T) {
	tok := newBench(t, nil).token("anna")
	jar := cookie + "=" + tok
	for _, tc := range []struct {
		name string
		req  *http.Request
		want string // reason, "" = anna
	}{
		{"cookie and origin", upgrade("Cookie", jar, "Origin", page), ""},
		{"cookie without origin", upgrade("Cookie", jar), ReasonOrigin},
		{"cookie without origin, however same-origin: a handshake always has one", upgrade("Cookie", jar, "Sec-Fetch-Site", "same-origin"), ReasonOrigin},
		{"cookie and another origin", upgrade("Cookie", jar, "Origin", "https://evil.example"), ReasonOrigin},
		{"cookie and origin null", upgrade("Cookie", jar, "Origin", "null"), ReasonOrigin},
		{"cookie and two origins", upgrade("Cookie", jar, "Origin", page, "Origin", page), ReasonOrigin},
		{"read by the bridge's own page", request("GET", "/", "Cookie", jar, "Sec-Fetch-Site", "same-origin"), ""},
		{"read by a page of the site", request("GET", "/", "Cookie", jar, "Sec-Fetch-Site", "same-site"), ReasonOrigin},
		{"write without origin", request("DELETE", "/", "Cookie", jar, "Sec-Fetch-Site", "same-origin"), ReasonOrigin},
		{"two cookies", upgrade("Cookie", jar+"; "+jar, "Origin", page), ReasonAmbiguous},
		{"another cookie", upgrade("Cookie", "plumbline="+tok, "Origin", page), ReasonMissing},
		{"bearer without origin", upgrade("Authorization", "Bearer "+tok), ""},
		{"bearer before the cookie", upgrade("Authorization", "bearer "+tok, "Cookie", cookie+"=x"), ""},
		{"bearer and another origin", upgrade("Authorization", "Bearer "+tok, "Origin", "https://evil.example"), ReasonOrigin},
		{"two headers", upgrade("Authorization", "Bearer "+tok, "Authorization", "Bearer "+tok), ReasonAmbiguous},
		{"basic", upgrade("Authorization", "Basic "+tok), ReasonMissing},
		{"subprotocol", upgrade("Sec-Websocket-Protocol", "plumbline.v1.json, "+TokenSubprotocol+tok), ""},
		{"two subprotocols", upgrade("Sec-Websocket-Protocol", TokenSubprotocol+tok+", "+TokenSubprotocol+tok), ReasonAmbiguous},
		{"subprotocol and bearer", upgrade("Sec-Websocket-Protocol", TokenSubprotocol+tok, "Authorization", "Bearer "+tok), ReasonAmbiguous},
		{"token in the URL", request("GET", "/ws?access_token="+tok), ReasonURL},
		{"token in the URL under another name", request("GET", "/ws?x="+tok), ReasonURL},
		{"where the URL is not looked at", request("GET", "/ws?a=1;access_token="+tok), ReasonURL},
		{"two tickets", request("GET", "/ws?ticket=a&ticket=b"), ReasonURL},
		{"an empty ticket", request("GET", "/ws?ticket="), ReasonURL},
		{"a ticket in another case", request("GET", "/ws?Ticket=a"), ReasonURL},
		{"nothing", upgrade(), ReasonMissing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := newBench(t, nil).FromRequest(tc.req)
			if tc.want == "" {
				if err != nil || id.Subject != "anna" {
					t.Fatalf("%+v, %v, want anna", id, err)
				}
			} else if Reason(err) != tc.want || id.Subject != "" {
				t.Fatalf("%+v, %v, want the reason %s", id, err, tc.want)
			}
		})
	}
	off := newBench(t, func(o *Options) { o.Cookie, o.Subprotocol, o.Tickets = "", false, false })
	for want, r := range map[string]*http.Request{
		ReasonMissing:     upgrade("Cookie", jar, "Origin", page),
		ReasonSubprotocol: upgrade("Sec-Websocket-Protocol", TokenSubprotocol+tok),
		ReasonURL:         request("GET", "/ws?ticket=x"),
	} {
		if _, err := off.FromRequest(r); Reason(err) != want {
			t.Errorf("what is not enabled: %v, want %s", err, want)
		}
	}
}

// ask gets a ticket as anna.
func (b *bench) ask() string {
	b.t.Helper()
	resp := serve(b.Ticket(), request("POST", "/ticket", "Authorization", "Bearer "+b.token("anna")))
	var got struct {
		Ticket string `json:"ticket"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		b.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Cache-Control") != "no-store" || len(got.Ticket) != 43 { // 256 bits
		b.t.Fatalf("ticket: %d, %q", resp.StatusCode, got.Ticket)
	}
	return got.Ticket
}

func TestN32Tickets(t *testing.T) {
	b := newBench(t, func(o *Options) { o.FreeFailures = 0 })
	use := func(text, from string) error {
		r := request("GET", "/ws?ticket="+text)
		r.RemoteAddr = from
		id, err := b.FromRequest(r)
		if err == nil && (id.Subject != "anna" || id.Key == "") {
			t.Errorf("identity %+v", id)
		}
		return err
	}
	text := b.ask()
	if err := use(text, "192.0.2.200:9"); err != nil { // the same /24
		t.Errorf("first use: %v", err)
	}
	if err := use(text, here); Reason(err) != ReasonTicket {
		t.Errorf("replay: %v", err)
	}
	text = b.ask()
	if err := use(text, "192.0.3.7:4000"); Reason(err) != ReasonTicket {
		t.Errorf("from another class: %v", err)
	}
	if err := use(text, here); Reason(err) != ReasonTicket {
		t.Errorf("after it was seen elsewhere: %v", err)
	}
	text = b.ask()
	b.now = b.now.Add(TicketLife)
	if err := use(text, here); Reason(err) != ReasonTicket {
		t.Errorf("after its time: %v", err)
	}
	if err := use("guess", here); Reason(err) != ReasonTicket {
		t.Errorf("guess: %v", err)
	}
	if resp := serve(b.Ticket(), request("POST", "/ticket?ticket="+b.ask())); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a ticket for a ticket: %d", resp.StatusCode)
	}
	short, ok, err := b.tickets.issue(auth.Identity{Subject: "anna", Key: "k", Expires: b.now.Add(time.Second)}, here)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	b.now = b.now.Add(time.Second)
	if err := use(short, here); Reason(err) != "expired" {
		t.Errorf("of a token that has expired meanwhile: %v", err)
	}
	last := b.ask()
	b.revoke("sub:anna\n")
	if err := use(last, here); Reason(err) != ReasonRevoked {
		t.Errorf("of a subject revoked meanwhile: %v", err)
	}
}

// revoke writes the file and waits until the list has it.
func (b *bench) revoke(text string) {
	b.t.Helper()
	changed, done := make(chan struct{}), make(chan error)
	unwatch := b.list.Watch(func() { close(changed) })
	if err := os.WriteFile(b.revoked, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	go func() { done <- b.list.Run(ctx) }()
	<-changed
	unwatch()
	cancel()
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
}

func TestTicketLimits(t *testing.T) {
	b := newBench(t, nil)
	for range maxSubjectTickets {
		b.ask()
	}
	as := func(name string) *http.Request {
		return request("POST", "/ticket", "Authorization", "Bearer "+b.token(name))
	}
	if resp := serve(b.Ticket(), as("anna")); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "30" {
		t.Errorf("one too many: %d", resp.StatusCode)
	}
	if resp := serve(b.Ticket(), as("ben")); resp.StatusCode != http.StatusCreated {
		t.Errorf("another subject: %d", resp.StatusCode)
	}
	b.now = b.now.Add(TicketLife)
	b.ask()
	if resp := serve(b.Ticket(), request("GET", "/ticket")); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
	broken := newBench(t, func(o *Options) { o.Random = strings.NewReader("short") })
	if resp := serve(broken.Ticket(), as("anna")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without randomness: %d", resp.StatusCode)
	}
}

func TestN39BadTokensSlowTheAddressDown(t *testing.T) {
	b := newBench(t, nil) // three are free
	bad := func(from string) error {
		r := request("GET", "/", "Authorization", "Bearer a.b.c")
		r.RemoteAddr = from
		_, err := b.FromRequest(r)
		return err
	}
	for range 3 {
		if err := bad(here); Reason(err) == ReasonThrottled || b.Wait(here) != 0 {
			t.Fatalf("too early: %v", err)
		}
	}
	var last time.Duration
	for range 9 {
		if err := bad(here); Reason(err) == ReasonThrottled {
			t.Fatalf("after the wait: %v", err)
		}
		wait := b.Wait(here)
		if wait != longestWait && wait != max(firstWait, 2*last) {
			t.Fatalf("wait %s after %s", wait, last)
		}
		last = wait
		resp := serve(b.Require(http.NotFoundHandler()), request("GET", "/", "Authorization", "Bearer "+b.token("anna")))
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != RetryAfter(wait) {
			t.Fatalf("while it has to wait: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		b.now = b.now.Add(wait)
	}
	if last != longestWait {
		t.Errorf("the last wait is %s, want %s", last, longestWait)
	}
	if err := bad("198.51.100.1:1"); Reason(err) == ReasonThrottled {
		t.Error("another address has to wait too")
	}
	if _, err := b.FromRequest(request("GET", "/", "Authorization", "Bearer "+b.token("anna"))); err != nil {
		t.Errorf("a good one after the wait: %v", err)
	}
	b.now = b.now.Add(5 * time.Minute)
	for range 3 {
		_ = bad(here)
	}
	if b.Wait(here) != 0 {
		t.Error("what was forgiven is held against it")
	}
	for range 10 {
		_, _ = b.FromRequest(request("GET", "/"))
	}
	if b.Wait(here) != 0 {
		t.Error("who shows nothing has to wait")
	}
}

// TestKeysAwayIsNobodysFault: while the keys are not there, nobody's address is slowed down for it.
func TestKeysAwayIsNobodysFault(t *testing.T) {
	keys, err := auth.NewKeys(auth.KeysOptions{URL: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.NewVerifier(auth.Options{Keys: keys, Issuer: "plumbline", Audience: "bridge"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(o *Options) { o.Verifier = v })
	tok := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{})
	tok.Header["kid"] = "a"
	text, err := tok.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		resp := serve(b.Require(http.NotFoundHandler()), request("GET", "/", "Authorization", "Bearer "+text))
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || b.Wait(here) != 0 {
			t.Fatalf("%d, Retry-After %q, wait %s", resp.StatusCode, resp.Header.Get("Retry-After"), b.Wait(here))
		}
	}
}

func TestThrottleIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	th := newThrottle(1, func() time.Time { return now })
	for i := range maxAddresses + 10 {
		th.fail(time.Duration(i).String())
	}
	if n := len(th.seen); n > maxAddresses*7/8+10 || n < maxAddresses*7/8 { // nor is all of it looked at each time
		t.Errorf("%d addresses are remembered", n)
	}
	never := newThrottle(0, func() time.Time { return now })
	for range 100 {
		never.fail(here)
	}
	if never.wait(here) != 0 {
		t.Error("0 free failures mean no limit")
	}
}

// TestBind: what goes on for longer ends with the token.
func TestBind(t *testing.T) {
	b := newBench(t, nil)
	id, err := b.FromRequest(request("GET", "/", "Authorization", "Bearer "+b.token("anna")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := b.Bind(t.Context(), id)
	defer cancel()
	if ctx.Err() != nil {
		t.Fatal("ended at once")
	}
	if err := b.list.End(id); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if Reason(context.Cause(ctx)) != ReasonRevoked {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	late, cancel := b.Bind(t.Context(), id)
	defer cancel()
	if Reason(context.Cause(late)) != ReasonRevoked {
		t.Error("a revocation before Bind is overlooked")
	}
	b.now = id.Expires
	over, cancel := b.Bind(t.Context(), auth.Identity{Expires: id.Expires})
	defer cancel()
	<-over.Done()
	if Reason(context.Cause(over)) != "expired" {
		t.Errorf("cause %v", context.Cause(over))
	}
}

func TestRequire(t *testing.T) {
	b := newBench(t, nil)
	h := b.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := IdentityOf(r.Context()); !ok || id.Subject != "anna" {
			t.Errorf("identity %+v", id)
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	if resp := serve(h, request("GET", "/x", "Authorization", "Bearer "+b.token("anna"))); resp.StatusCode != http.StatusTeapot {
		t.Errorf("good: %d", resp.StatusCode)
	}
	tok := b.token("anna") + "x"
	resp := serve(h, request("GET", "/x?y=hidden", "Authorization", "Bearer "+tok))
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("bad: %d", resp.StatusCode)
	}
	if got := b.log.String(); strings.Count(got, "msg=refused") != 1 || !strings.Contains(got, "remote="+here) || strings.Contains(got, tok) || strings.Contains(got, "hidden") {
		t.Errorf("log %s", got)
	}
	if _, ok := IdentityOf(t.Context()); ok {
		t.Error("an identity out of nowhere")
	}
}

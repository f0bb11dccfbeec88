package bridge

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/wire"
)

const (
	goodPage   = "https://good.example"
	testCookie = "__Host-plumbline"
)

// withSessions turns every way to bring a token on.
func withSessions(c *Config) {
	c.Auth.Cookie, c.Auth.Tickets, c.Auth.SubprotocolToken = testCookie, true, true
}

// ask sends a request to the viewers' listener, headers given in pairs.
func (r *running) ask(method, path, body string, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "https://"+r.b.Addresses().Viewers+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: r.tls(), DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// ticket gets a ticket for a token.
func (r *running) ticket(token string) string {
	r.t.Helper()
	resp := r.ask(http.MethodPost, "/ticket", "", "Authorization", "Bearer "+token)
	var got struct {
		Ticket string `json:"ticket"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Ticket == "" {
		r.t.Fatalf("ticket: %d %v", resp.StatusCode, err)
	}
	return got.Ticket
}

// shake dials with a query, subprotocols and headers of its own.
func (r *running) shake(query string, protocols []string, h http.Header) *viewer {
	r.t.Helper()
	d := websocket.Dialer{TLSClientConfig: r.tls(), Subprotocols: append([]string{wire.Subprotocol}, protocols...), HandshakeTimeout: patience}
	ws, resp, err := d.Dial(r.url()+query, h)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, resp)
	}
	if got := resp.Header.Get("Sec-Websocket-Protocol"); got != wire.Subprotocol { // N34
		r.t.Errorf("subprotocol %q", got)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &viewer{t: r.t, ws: ws}
}

// ways opens one session in each way that a token can come, but the first message.
func (r *running) ways(token string) map[string]*viewer {
	r.t.Helper()
	login := r.ask(http.MethodPost, "/session", `{"token":"`+token+`"}`, "Origin", goodPage)
	if login.StatusCode != http.StatusOK || len(login.Cookies()) != 1 {
		r.t.Fatalf("login: %d", login.StatusCode)
	}
	c := login.Cookies()[0]
	all := map[string]*viewer{
		"header":      r.shake("", nil, http.Header{"Authorization": {"Bearer " + token}}),
		"cookie":      r.shake("", nil, http.Header{"Cookie": {c.Name + "=" + c.Value}, "Origin": {goodPage}}),
		"ticket":      r.shake("?ticket="+r.ticket(token), nil, nil),
		"subprotocol": r.shake("", []string{"plumbline.bearer." + token}, nil),
	}
	for _, v := range all {
		v.send(map[string]any{"type": "hello"})
		v.want("welcome")
	}
	return all
}

// TestN38LogoutAndRevocationEndEverySession: however a session was opened, its token's end is its own.
func TestN38LogoutAndRevocationEndEverySession(t *testing.T) {
	revoked := filepath.Join(t.TempDir(), "revoked")
	r := run(t, func(c *Config) { withSessions(c); c.Auth.RevocationFile = revoked })
	t.Run("logout", func(t *testing.T) {
		r := &running{t: t, b: r.b, cfg: r.cfg}
		token, other := r.token(map[string]any{"jti": "1"}), r.open(map[string]any{"jti": "2"})
		all := r.ways(token)
		out := r.ask(http.MethodDelete, "/session", "", "Origin", goodPage, "Cookie", testCookie+"="+token)
		if out.StatusCode != http.StatusNoContent {
			t.Errorf("logout: %d", out.StatusCode)
		}
		for way, v := range all {
			v.t = named{t, way}
			v.wantClose(4007, "revoked")
		}
		again := r.shake("", nil, http.Header{"Authorization": {"Bearer " + token}})
		again.send(map[string]any{"type": "hello"})
		again.wantClose(4007, "revoked")
		other.send(map[string]any{"type": "ping", "id": "another token of the same subject"})
		other.want("pong")
	})
	t.Run("revocation", func(t *testing.T) {
		r := &running{t: t, b: r.b, cfg: r.cfg}
		all := r.ways(r.token(map[string]any{"sub": "carl"}))
		open := r.ticket(r.token(map[string]any{"sub": "carl"}))
		if err := os.WriteFile(revoked, []byte("sub:carl\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for way, v := range all {
			v.t = named{t, way}
			v.wantClose(4007, "revoked")
		}
		late := r.shake("?ticket="+open, nil, nil)
		late.send(map[string]any{"type": "hello"})
		late.wantClose(4007, "revoked")
	})
}

// named says in which way a session was opened.
type named struct {
	testing.TB
	way string
}

func (n named) Errorf(format string, args ...any) {
	n.Helper()
	n.TB.Errorf(n.way+": "+format, args...)
}

// TestN37NoWayOutlivesItsToken: a session from a cookie or ticket ends with the token behind it.
func TestN37NoWayOutlivesItsToken(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { withSessions(c); c.Auth.JWT.Leeway = 0 })
	exp := time.Now().Add(short).Truncate(time.Second)
	for way, v := range r.ways(r.token(map[string]any{"exp": exp.Unix()})) {
		v.t = named{t, way}
		v.wantClose(4200, "expired")
		if time.Now().Before(exp) {
			t.Errorf("%s: cut before exp", way)
		}
	}
}

func TestN32TicketByHandshake(t *testing.T) {
	r := run(t, withSessions)
	ticket := r.ticket(r.token(nil))
	first := r.shake("?ticket="+ticket, nil, nil)
	first.send(map[string]any{"type": "hello"})
	first.want("welcome")
	for name, query := range map[string]string{"replay": "?ticket=" + ticket, "guess": "?ticket=AAAA"} {
		v := r.shake(query, nil, nil)
		v.t = named{t, name}
		v.send(map[string]any{"type": "hello"})
		v.wantClose(4002, "ticket")
	}
	for name, query := range map[string]string{"two": "?ticket=a&ticket=b", "other case": "?Ticket=a", "empty": "?ticket="} {
		if resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws"+query, upgrade()); resp.StatusCode != 400 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// TestN39ThrottledAtTheDoor: who shows too many bad tokens is turned away before the upgrade and after it, and told for how long;
// those inside stay and may refresh.
func TestN39ThrottledAtTheDoor(t *testing.T) {
	r := run(t, func(c *Config) { withSessions(c); c.Auth.FreeFailures = 3 })
	inside, waiting := r.open(nil), r.dial()
	for range 4 {
		v := r.dial()
		v.send(map[string]any{"type": "hello", "token": "a.b.c"})
		v.wantClose(4002, "token")
	}
	resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade())
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("handshake: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	waiting.send(map[string]any{"type": "hello", "token": r.token(nil)})
	waiting.wantClose(4101, "retry_ms")
	if resp := r.ask(http.MethodPost, "/ticket", "", "Authorization", "Bearer "+r.token(nil)); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("HTTP: %d", resp.StatusCode)
	}
	inside.send(map[string]any{"type": "auth", "token": r.token(nil)})
	inside.want("authok")
}

// TestN50Tenants: tenants with topics of the same names see nothing of each other, by wildcard, snapshot, cursor or refusal.
func TestN50Tenants(t *testing.T) {
	r := run(t, func(c *Config) { c.Auth.TenantPrefix = "tenants/{tenant}/" })
	p := r.publisher("dev")
	for _, tenant := range []string{"a", "b", "ab"} {
		r.publish(p, "tenants/"+tenant+"/press/1", "of "+tenant)
	}
	for _, tenant := range []string{"a", "b"} {
		v := r.open(map[string]any{"tenant": tenant, "sub": "anna", "grants": []string{"#"}})
		other := map[string]string{"a": "b", "b": "a"}[tenant]
		var first message
		for id, filter := range []string{"#", "+/#", "tenants/#", "tenants/+/press/1", "tenants/" + other + "/#", "tenants/" + other + "/press/1", "tenants/" + other + "/nothing", "press/1"} {
			v.send(map[string]any{"type": "sub", "id": id, "filter": filter, "snapshot": true})
			m, err := v.next()
			if err != nil || m.Type != "suberr" || m.Reason != "forbidden" {
				t.Errorf("%s, %s: %+v %v, want suberr forbidden", tenant, filter, m, err)
			}
			if m.ID = nil; id == 0 {
				first = m
			} else if m.Detail != first.Detail {
				t.Errorf("%s, %s: the refusal says %q, another %q", tenant, filter, m.Detail, first.Detail)
			}
		}
		ok := v.sub(20, "tenants/"+tenant+"/#", map[string]any{"snapshot": true})
		if s := v.want("snapshot"); len(s.Readings) != 1 || s.Readings[0].Payload != "of "+tenant {
			t.Errorf("%s: snapshot %+v", tenant, s.Readings)
		}
		v.sub(21, "tenants/"+tenant+"/#", map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": 0}}) // anybody's cursor
		if got, _ := v.collect(1, 0); got[0].Payload != "of "+tenant {
			t.Errorf("%s: backlog %+v", tenant, got)
		}
		v.send(map[string]any{"type": "auth", "token": r.token(map[string]any{"tenant": other, "sub": "anna", "grants": []string{"#"}})})
		v.wantClose(4003, "subject")
	}
	v := r.dial()
	v.send(map[string]any{"type": "hello", "token": r.token(nil)})
	v.wantClose(4002, "tenant")
}

// TestN33TokenInURLIsRefusedAndForgotten: nothing of it is in the answer, the log or the metrics, and no page passes it on.
func TestN33TokenInURLIsRefusedAndForgotten(t *testing.T) {
	log := &journaled{}
	r := runLogged(t, testConfig(t.TempDir()), log.logger())
	token := r.token(nil)
	for _, query := range []string{"?token=", "?access_token=", "?JWT=", "?x=1&Bearer=", "?x=", "?x=1;token="} {
		resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws"+query+token, upgrade())
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || !strings.Contains(string(body), "token-in-url") || strings.Contains(string(body), token) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
		if got := resp.Header.Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("%s: Referrer-Policy %q", query, got)
		}
	}
	metrics := r.get("/metrics")
	r.drain()
	if !strings.Contains(log.String(), "token-in-url") || strings.Contains(log.String(), token) || strings.Contains(metrics, token) {
		t.Errorf("the token is kept, or the refusal is not: %s", log.String())
	}
}

// TestN34SubprotocolTokenIsNeverEchoed is taken only where it is enabled, and never echoed or logged.
func TestN34SubprotocolTokenIsNeverEchoed(t *testing.T) {
	for name, change := range map[string]func(*Config){"enabled": withSessions, "not enabled": func(*Config) {}} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t.TempDir())
			change(&c)
			log := &journaled{}
			r := runLogged(t, c, log.logger())
			token := r.token(nil)
			for _, order := range []string{"plumbline.v1.json, plumbline.bearer." + token, "plumbline.bearer." + token + ", plumbline.v1.json", "plumbline.bearer." + token} {
				h := upgrade()
				h.Set("Sec-Websocket-Protocol", order)
				resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", h)
				good := name == "enabled" && strings.Contains(order, "plumbline.v1.json")
				if want := map[bool]int{true: 101, false: 400}[good]; resp.StatusCode != want {
					t.Errorf("%.30s…: %d, want %d", order, resp.StatusCode, want)
				}
				var echo strings.Builder
				_ = resp.Header.Write(&echo)
				if strings.Contains(echo.String(), token) {
					t.Errorf("echoed: %s", echo.String())
				}
			}
			r.drain()
			if strings.Contains(log.String(), token) {
				t.Error("the token is in the log")
			}
		})
	}
}

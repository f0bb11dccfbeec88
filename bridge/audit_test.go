package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/audit"
	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// journaled collects what a bridge logs, at every level, as JSON lines.
type journaled struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journaled) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journaled) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journaled) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// events returns the audit's records.
func (j *journaled) events(tb testing.TB) (all []map[string]any) {
	tb.Helper()
	for line := range strings.Lines(j.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			tb.Fatalf("log line %q: %v", line, err)
		}
		if one["msg"] == audit.Message {
			all = append(all, one)
		}
	}
	return all
}

// users writes a users file with one user.
func users(t *testing.T, name, password string, publish ...string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	filters, _ := json.Marshal(publish)
	path := filepath.Join(t.TempDir(), "users.yaml")
	text := fmt.Sprintf("users:\n  - {name: %s, hash: %q, publish: %s}\n", name, hash, filters)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// login connects to the broker with a password.
func (r *running) login(id, name, password string) (*paho.Client, error) {
	r.t.Helper()
	return r.loginFor(id, name, password, 0)
}

// loginFor is login with a session that outlives the connection by so many seconds.
func (r *running) loginFor(id, name, password string, expiry uint32) (*paho.Client, error) {
	r.t.Helper()
	conn, err := net.DialTimeout("tcp", r.b.Addresses().MQTT, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience})
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	_, err = c.Connect(ctx, &paho.Connect{
		ClientID: id, CleanStart: true, KeepAlive: 30, UsernameFlag: true, Username: name, PasswordFlag: true, Password: []byte(password),
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, RequestProblemInfo: true},
	})
	return c, err
}

// get reads a page of the operators' listener.
func (r *running) get(path string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.b.Addresses().Ops + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// TestN99SecretsStayIn: N33 and N34 too. Good and bad logins in every way, messages and refusals leave no token, ticket, password,
// hash or payload in the log, at debug level, in the metrics, or in any answer but the one that hands the secret out.
func TestN99SecretsStayIn(t *testing.T) {
	const password, wrong, payload = "pass-4711-word", "wrong-0815-word", "payload-2342-text"
	c := testConfig(t.TempDir())
	withSessions(&c)
	c.Auth.FreeFailures = 0
	c.MQTT.Anonymous, c.MQTT.UsersFile = false, users(t, "press", password, "#")
	log := &journaled{}
	r := runLogged(t, c, log.logger())
	key, err := os.ReadFile(filepath.Join(c.Data, "jwt.key"))
	if err != nil {
		t.Fatal(err)
	}
	good := r.token(nil)
	expired := r.token(map[string]any{"exp": 1})
	forged := good[:strings.LastIndexByte(good, '.')+1] + "Zm9yZ2VkLXNpZ25hdHVyZQ"
	ticket := r.ticket(good)
	var answers strings.Builder
	note := func(resp *http.Response) {
		_ = resp.Header.Write(&answers)
		_, _ = io.Copy(&answers, io.LimitReader(resp.Body, 1<<16))
	}
	ws := "https://" + r.b.Addresses().Viewers + "/ws"
	p, err := r.login("press", "press", password)
	if err != nil {
		t.Fatal(err)
	}
	r.publish(p, "a/1", payload)
	if _, err := r.login("other", "press", wrong); err == nil {
		t.Error("a wrong password is good")
	}
	for way, v := range r.ways(good) {
		v.sub(1, "#", map[string]any{"snapshot": true})
		if s := v.want("snapshot"); len(s.Readings) != 1 || s.Readings[0].Payload != payload {
			t.Errorf("%s: snapshot %+v", way, s)
		}
		v.send(map[string]any{"type": "auth", "token": forged})
		v.wantClose(4002, "signature")
	}
	for _, tok := range []string{expired, forged, good + "x"} {
		v := r.dial()
		v.send(map[string]any{"type": "hello", "token": tok})
		_, _, err := v.ws.ReadMessage()
		var ce *websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != 4002 {
			t.Errorf("a bad token: %v", err)
		} else {
			answers.WriteString(ce.Text)
		}
		note(r.ask("POST", "/ticket", "", "Authorization", "Bearer "+tok))
		note(r.ask("DELETE", "/session", "", "Origin", goodPage, "Cookie", testCookie+"="+tok))
		note(r.ask("POST", "/session", `{"token":"`+tok+`"}`, "Origin", "https://evil.example"))
	}
	for _, query := range []string{"?token=" + good, "?ticket=" + ticket + "&access_token=" + good, "?x=" + good} {
		note(r.handshake(ws+query, upgrade()))
	}
	used := r.shake("?ticket="+ticket, nil, http.Header{"Referer": {"https://good.example/?token=" + good}})
	used.send(map[string]any{"type": "hello"})
	used.want("welcome")
	again := r.shake("?ticket="+ticket, nil, nil)
	again.send(map[string]any{"type": "hello"})
	again.wantClose(4002, "ticket")
	h := upgrade()
	h.Set("Sec-Websocket-Protocol", "plumbline.v1.json, plumbline.bearer."+good)
	note(r.handshake(ws, h))
	for _, path := range []string{"/metrics", "/debug/pprof/", "/healthz", "/readyz"} {
		if resp := r.ask("GET", path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s on the viewers' listener: %d", path, resp.StatusCode)
		}
	}
	places := map[string]string{"metrics": r.get("/metrics"), "readyz": r.get("/readyz"), "answers": answers.String()}
	r.drain()
	places["log"] = log.String()
	if !strings.Contains(places["log"], audit.Message) || !strings.Contains(places["metrics"], "bridge_auth_total") {
		t.Fatal("nothing was recorded: what follows would show nothing")
	}
	secrets := []string{password, wrong, payload, ticket, strings.TrimSpace(string(key)), "$2a$", "Zm9yZ2VkLXNpZ25hdHVyZQ"}
	for _, tok := range []string{good, expired} {
		secrets = append(secrets, strings.Split(tok, ".")[1:]...)
	}
	for place, text := range places {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s hold the secret %.20q…", place, s)
			}
		}
	}
}

// refused is one kind of refusal.
type refused struct {
	name   string
	do     func(*running)
	action string
	reason string // a part of it
	who    string // subject, "" = none is known
}

// refusals are the kinds that viewers can meet, each made once.
func refusals(revoked string) []refused {
	shake := func(status int, query string, header ...string) func(*running) {
		return func(r *running) {
			h := upgrade()
			for i := 0; i < len(header); i += 2 {
				h[header[i]] = []string{header[i+1]}
			}
			if resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws"+query, h); resp.StatusCode != status {
				r.t.Errorf("status %d, want %d", resp.StatusCode, status)
			}
		}
	}
	first := func(code int, text string) func(*running) { // the first message is refused
		return func(r *running) {
			v := r.dial()
			v.sendText(text)
			v.wantClose(code, "")
		}
	}
	hello := func(code int, change map[string]any) func(*running) {
		return func(r *running) { first(code, `{"type":"hello","token":"`+r.token(change)+`"}`)(r) }
	}
	then := func(code int, text func(*running) string) func(*running) { // what follows a good hello is
		return func(r *running) {
			v := r.open(map[string]any{"grants": []string{"a/#"}})
			v.sendText(text(r))
			if code == 0 {
				if m, err := v.next(); err != nil || m.Type != "suberr" {
					r.t.Errorf("%+v %v, want suberr", m, err)
				}
				return
			}
			v.wantClose(code, "")
		}
	}
	text := func(s string) func(*running) string { return func(*running) string { return s } }
	refresh := func(change map[string]any) func(*running) string {
		return func(r *running) string { return `{"type":"auth","token":"` + r.token(change) + `"}` }
	}
	ask := func(status int, method, path string, header ...string) func(*running) {
		return func(r *running) {
			if resp := r.ask(method, path, "", header...); resp.StatusCode != status {
				r.t.Errorf("status %d, want %d", resp.StatusCode, status)
			}
		}
	}
	return []refused{
		{"origin", shake(403, "", "Origin", "https://evil.example"), "handshake", "origin", ""},
		{"cookie without origin", shake(403, "", "Cookie", testCookie+"=x"), "handshake", "origin", ""},
		{"subprotocol", shake(400, "", "Sec-Websocket-Protocol", "x"), "handshake", "subprotocol", ""},
		{"key", shake(400, "", "Sec-Websocket-Key", "x"), "handshake", "key", ""},
		{"version", shake(426, "", "Sec-Websocket-Version", "8"), "handshake", "version", ""},
		{"no upgrade", ask(426, "GET", "/ws"), "handshake", "upgrade", ""},
		{"method", ask(405, "POST", "/ws"), "handshake", "method", ""},
		{"token in the URL", shake(400, "?token=x"), "handshake", "token-in-url", ""},
		{"command first", first(4001, `{"type":"ping","id":"x"}`), "session", "hello first", ""},
		{"no token", first(4002, `{"type":"hello"}`), "session", "missing", ""},
		{"bad form", first(4002, `{"type":"hello","token":"x"}`), "session", "form", ""},
		{"expired", hello(4002, map[string]any{"exp": 1}), "session", "expired", ""},
		{"issuer", hello(4002, map[string]any{"iss": "x"}), "session", "issuer", ""},
		{"revoked", hello(4007, map[string]any{"sub": revoked}), "session", "revoked", revoked},
		{"used ticket", func(r *running) {
			v := r.shake("?ticket=x", nil, nil)
			v.send(map[string]any{"type": "hello"})
			v.wantClose(4002, "")
		}, "session", "ticket", ""},
		{"malformed", first(4005, `{`), "session", "JSON", ""},
		{"too long", first(1009, strings.Repeat("x", 17<<10)), "session", "too big", ""},
		{"not UTF-8", first(1007, "\xff"), "session", "UTF-8", ""},
		{"hello twice", then(4005, func(r *running) string { return `{"type":"hello","token":"` + r.token(nil) + `"}` }), "session", "twice", "anna"},
		{"unknown type", then(4005, text(`{"type":"publish"}`)), "session", "unknown type", "anna"},
		{"another subject", then(4003, refresh(map[string]any{"sub": "ben"})), "session", "subject", "anna"},
		{"expired refresh", then(4200, refresh(map[string]any{"exp": 1})), "session", "expired", "anna"},
		{"outside the grants", then(0, text(`{"type":"sub","id":1,"filter":"b"}`)), "sub", "live", "anna"},
		{"no session", ask(401, "POST", "/session"), "POST /session", "missing", ""},
		{"bad session", ask(401, "POST", "/session", "Authorization", "Bearer x"), "POST /session", "form", ""},
		{"logout without origin", ask(403, "DELETE", "/session", "Cookie", testCookie+"=x"), "DELETE /session", "origin", ""},
		{"session by another method", ask(405, "PUT", "/session"), "PUT /session", "method", ""},
		{"history beyond the grants", func(r *running) {
			ask(403, "GET", "/api/v1/history/topics?filter=b", "Authorization", "Bearer "+r.token(map[string]any{"grants": []string{"a"}}))(r)
		}, "GET /api/v1/history/topics", "forbidden", "anna"},
		{"no ticket", ask(401, "POST", "/ticket"), "POST /ticket", "missing", ""},
		{"two credentials", ask(400, "POST", "/ticket?ticket=x", "Authorization", "Bearer x"), "POST /ticket", "credentials", ""},
	}
}

func TestN104EachRefusalIsOneEvent(t *testing.T) {
	c := testConfig(t.TempDir())
	withSessions(&c)
	c.Auth.FreeFailures = 0
	c.Auth.RevocationFile = filepath.Join(t.TempDir(), "revoked")
	if err := os.WriteFile(c.Auth.RevocationFile, []byte("sub:mallory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &journaled{}
	whole := runLogged(t, c, log.logger())
	kinds := refusals("mallory")
	for n, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.do(&running{t: t, b: whole.b, cfg: whole.cfg})
			eventually.Must(t, "the event", func() bool { return len(log.events(t)) > n })
			e := log.events(t)[n]
			reason, _ := e["reason"].(string)
			who, _ := e["subject"].(string)
			remote, _ := e["remote"].(string)
			if e["action"] != k.action || !strings.Contains(reason, k.reason) || who != k.who || !strings.HasPrefix(remote, "127.0.0.1") {
				t.Errorf("event %v, want %s, %s by %q from 127.0.0.1", e, k.action, k.reason, k.who)
			}
		})
	}
	eventually.Must(t, "the sessions to end", func() bool { return whole.b.wire.Sessions() == 0 })
	whole.drain()
	if got := log.events(t); len(got) != len(kinds) {
		t.Errorf("%d events for %d refusals: %v", len(got), len(kinds), got)
	}
}

// TestN104SilenceIsOneEvent: by a bridge of its own, whose patience is too short for the other refusals on a busy machine.
func TestN104SilenceIsOneEvent(t *testing.T) {
	c := testConfig(t.TempDir())
	c.Viewers.AuthTimeout = config.Duration(300 * time.Millisecond)
	log := &journaled{}
	r := runLogged(t, c, log.logger())
	r.dial().wantClose(4103, "")
	r.drain()
	if got := log.events(t); len(got) != 1 || got[0]["action"] != "session" || !strings.Contains(fmt.Sprint(got[0]["reason"]), "no hello") {
		t.Errorf("events %v, want one of the session without hello", got)
	}
}

func TestN104RefusalsOfMQTTClients(t *testing.T) {
	c := testConfig(t.TempDir())
	c.MQTT.Anonymous, c.MQTT.UsersFile = false, users(t, "press", "pass-4711-word", "a/#")
	log := &journaled{}
	r := runLogged(t, c, log.logger())
	if _, err := r.login("one", "press", "wrong"); err == nil {
		t.Error("a wrong password is good")
	}
	p, err := r.login("two", "press", "pass-4711-word")
	if err != nil {
		t.Fatal(err)
	}
	r.publish(p, "a/1", "granted")
	if err := send(p, "b/1", "not granted"); err == nil {
		t.Error("a publish outside the list is taken")
	}
	r.drain()
	got := log.events(t)
	if len(got) != 2 || got[0]["action"] != "mqtt login" || got[0]["reason"] != "password" || got[1]["action"] != "mqtt publish" || got[1]["subject"] != "press" {
		t.Errorf("events %v, want one of the login and one of the publish", got)
	}
}

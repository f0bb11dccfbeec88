package bridge

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/wire"
)

// hellos are what viewers send instead of a good hello, or after it, and how the session ends.
func (r *running) hellos() []hello {
	hi := func(change map[string]any) string {
		return fmt.Sprintf(`{"type":"hello","token":%q}`, r.token(change))
	}
	return []hello{
		{"N15 silence", nil, 4103, "in time"},
		{"N16 sub first", []string{`{"type":"sub","id":1,"filter":"#"}`}, 4001, "hello first"},
		{"N16 ping first", []string{`{"type":"ping","id":"x"}`}, 4001, "hello first"},
		{"unknown type first", []string{`{"type":"x"}`}, 4001, "hello first"},
		{"no token", []string{`{"type":"hello"}`}, 4002, "token"},
		{"garbage", []string{`{"type":"hello","token":"a.b.c"}`}, 4002, "token"},
		{"N21 expired", []string{hi(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})}, 4002, "expired"},
		{"N24 issuer", []string{hi(map[string]any{"iss": "x"})}, 4002, "issuer"},
		{"N25 audience", []string{hi(map[string]any{"aud": "x"})}, 4002, "audience"},
		{"malformed JSON", []string{`{"type":`}, 4005, "JSON"},
		{"not an object", []string{`[1]`}, 4005, ""},
		{"token a number", []string{`{"type":"hello","token":7}`}, 4005, "type"},
		{"duplicate member", []string{`{"type":"hello","type":"sub"}`}, 4005, "JSON"},
		{"N67 deep JSON", []string{strings.Repeat("[", 15_000)}, 4005, "JSON"},
		{"hello twice", []string{hi(nil), hi(nil)}, 4005, "twice"},
		{"unknown type", []string{hi(nil), `{"type":"publish","topic":"a"}`}, 4005, "unknown type"},
		{"no type", []string{hi(nil), `{}`}, 4005, "unknown type"},
		{"sub id a string", []string{hi(nil), `{"type":"sub","id":"1","filter":"#"}`}, 4005, "id"},
		{"sub id negative", []string{hi(nil), `{"type":"sub","id":-1,"filter":"#"}`}, 4005, "id"},
		{"sub id missing", []string{hi(nil), `{"type":"sub","filter":"#"}`}, 4005, "id"},
		{"sub id in use", []string{hi(nil), `{"type":"sub","id":1,"filter":"#"}`, `{"type":"sub","id":1,"filter":"a"}`}, 4005, "in use"},
		{"ping id a number", []string{hi(nil), `{"type":"ping","id":1}`}, 4005, "ping"},
		{"refresh with garbage", []string{hi(nil), `{"type":"auth","token":"x"}`}, 4002, "token"},
		{"N36 refresh with another subject", []string{hi(nil), fmt.Sprintf(`{"type":"auth","token":%q}`, r.token(map[string]any{"sub": "ben"}))}, 4003, "subject"},
		{"N36 refresh with an expired token", []string{hi(nil), fmt.Sprintf(`{"type":"auth","token":%q}`, r.token(map[string]any{"exp": 1}))}, 4200, "expired"},
	}
}

type hello struct {
	name   string
	send   []string
	code   int
	reason string
}

// greet runs the hellos of one number, "" for those without one of this file's own.
func greet(t *testing.T, number string) {
	t.Helper()
	r := run(t, func(c *Config) {
		if number == "N15" { // else a busy machine says its first message too late
			c.Viewers.AuthTimeout = config.Duration(400 * time.Millisecond)
		}
	})
	ran := 0
	for _, tc := range r.hellos() {
		if own := strings.HasPrefix(tc.name, "N15 ") || strings.HasPrefix(tc.name, "N16 "); own != (number != "") || own && !strings.HasPrefix(tc.name, number) {
			continue
		}
		ran++
		t.Run(tc.name, func(t *testing.T) {
			v := (&running{t: t, b: r.b, cfg: r.cfg}).dial()
			for _, s := range tc.send {
				v.sendText(s)
			}
			v.wantClose(tc.code, tc.reason)
		})
	}
	if ran == 0 {
		t.Fatalf("no case of %q", number)
	}
}

func TestN15NoHelloInTime(t *testing.T)      { greet(t, "N15") }
func TestN16CommandBeforeHello(t *testing.T) { greet(t, "N16") }

// TestSlowCheckIsNoLateHello: a hello that came in time is not late because its check takes long, as when the server of the keys
// does not answer.
func TestSlowCheckIsNoLateHello(t *testing.T) {
	t.Parallel()
	const limit = 3 * time.Second // which a busy machine needs for a hello
	var slow atomic.Bool
	asked, release := make(chan struct{}, 100), make(chan struct{})
	c := testConfig(t.TempDir())
	c.Viewers.AuthTimeout = config.Duration(limit)
	b, err := New(Options{Config: c, Now: func() time.Time {
		if slow.Load() {
			asked <- struct{}{}
			<-release
		}
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, b, c)
	v := r.dial()
	slow.Store(true)
	v.send(map[string]any{"type": "hello", "token": r.token(nil)})
	<-asked
	<-time.After(limit + limit/4) // the stimulus: the limit passes
	slow.Store(false)
	close(release)
	v.want("welcome")
}

// TestAuthTable holds N21, N24, N25, N36 on the wire too; package auth holds all token vectors.
func TestAuthTable(t *testing.T) { greet(t, "") }

func TestTokenInTheHeader(t *testing.T) {
	r := run(t, nil)
	d := websocket.Dialer{TLSClientConfig: r.tls(), Subprotocols: []string{wire.Subprotocol}}
	ws, _, err := d.Dial(r.url(), http.Header{"Authorization": {"Bearer " + r.token(nil)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	v := &viewer{t: t, ws: ws}
	v.send(map[string]any{"type": "hello", "role": "admin", "grants": []string{"#"}}) // N54: ignored
	v.want("welcome")
}

// TestN41SubscribeOutsideTheGrant: refused alike, whether anything is there or not.
func TestN41SubscribeOutsideTheGrant(t *testing.T) {
	forbidden(t, "b/1", "nothing/here", "a/secret/#", "a/secret/1", "$SYS/#")
}

// TestN42FilterThatOnlyOverlaps: a filter must be covered by one grant, not merely meet it.
func TestN42FilterThatOnlyOverlaps(t *testing.T) { forbidden(t, "#", "+/1", "+/#", "+/+") }

// forbidden asks for filters with a grant for a/# but not for a/secret/#.
func forbidden(t *testing.T, filters ...string) {
	t.Helper()
	r := run(t, nil)
	p := r.publisher("dev")
	r.publish(p, "a/secret/1", "hidden")
	r.publish(p, "b/1", "other tenant")
	v := r.open(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret/#"}})
	for id, filter := range filters {
		for _, mode := range []string{"all", "latest"} {
			v.send(map[string]any{"type": "sub", "id": id, "filter": filter, "mode": mode, "snapshot": true})
			if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "forbidden" {
				t.Errorf("%s: %+v %v, want suberr forbidden", filter, m, err)
			}
		}
	}
}

func TestN43FilterTricks(t *testing.T) {
	r := run(t, nil)
	v := r.open(map[string]any{"grants": []string{"a/#"}})
	for id, filter := range []string{"", "a/#/b", "a/b+", "a/\x00", "a#", "a/+b", "$share/g", "a/" + strings.Repeat("x", 65_534)} {
		v.send(map[string]any{"type": "sub", "id": id, "filter": filter})
		m, err := v.next()
		if len(filter) > 60_000 {
			if m.Type == "suberr" || err == nil {
				t.Errorf("filter of %d bytes: %+v", len(filter), m) // the message is above max_frame_bytes
			}
			break
		}
		if err != nil || m.Type != "suberr" || m.Reason != "filter" {
			t.Errorf("%.20q: %+v %v, want suberr filter", filter, m, err)
		}
	}
}

// TestN54FieldsThatSayMore: what a viewer writes about its own rights counts for nothing.
func TestN54FieldsThatSayMore(t *testing.T) {
	r := run(t, nil)
	v := r.dial()
	v.send(map[string]any{"type": "hello", "token": r.token(map[string]any{"grants": []string{"a/#"}}), "role": "admin", "grants": []string{"#"}, "tenant": "x", "sub": "root"})
	v.want("welcome")
	v.send(map[string]any{"type": "sub", "id": 1, "filter": "#", "grants": []string{"#"}, "role": "admin", "access": "all"})
	if m, err := v.next(); err != nil || m.Reason != "forbidden" {
		t.Errorf("%+v %v, want suberr forbidden", m, err)
	}
}

// TestN40CursorOfAnother: a cursor or a session's name that somebody else had gives nothing but one's own.
func TestN40CursorOfAnother(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	anna := r.dial()
	anna.send(map[string]any{"type": "hello", "token": r.token(nil)})
	anna.want("welcome")
	ok := anna.sub(1, "#", nil)
	r.publish(p, "secret/1", "anna's")
	r.publish(p, "a/1", "for both")
	_, at := anna.collect(2, ok.Offset)
	ben := r.dial()
	ben.send(map[string]any{"type": "hello", "token": r.token(map[string]any{"sub": "ben", "grants": []string{"a/#"}}), "session": "anna's", "since": map[string]any{"epoch": ok.Epoch, "offset": 0}})
	ben.want("welcome")
	ben.send(map[string]any{"type": "sub", "id": 1, "filter": "#", "since": map[string]any{"epoch": ok.Epoch, "offset": at}})
	if m, err := ben.next(); err != nil || m.Reason != "forbidden" {
		t.Errorf("%+v %v, want suberr forbidden", m, err)
	}
	back := ben.sub(2, "a/#", map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": ok.Offset}})
	if got, _ := ben.collect(1, back.Offset); len(got) != 1 || got[0].Topic != "a/1" {
		t.Errorf("%+v, want a/1 only", got)
	}
}

// TestAccess holds N45 and N46 on the wire.
func TestAccess(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	r.publish(p, "a/secret/1", "hidden")
	r.publish(p, "a/1", "seen")
	r.publish(p, "b/1", "other tenant")
	v := r.open(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret/#"}})
	ok := v.sub(2, "a/#", map[string]any{"snapshot": true}) // N45
	if s := v.want("snapshot"); len(s.Readings) != 1 || s.Readings[0].Topic != "a/1" {
		t.Errorf("snapshot %+v", s.Readings)
	}
	v.sub(3, "a/#", map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": 0}}) // N46
	if m := v.want("batch"); len(m.Readings) != 1 || m.Readings[0].Topic != "a/1" || m.To != 3 {
		t.Errorf("backlog %+v", m)
	}
	r.publish(p, "a/secret/2", "hidden")
	r.publish(p, "a/2", "seen")
	got := map[string]int{}
	for got["a/2"] < 2 {
		for _, one := range v.want("batch").Readings {
			got[one.Topic]++
		}
	}
	if len(got) != 1 {
		t.Errorf("delivered %v, want a/2 only", got)
	}
}

func TestN76FilterDepth(t *testing.T) {
	r := run(t, nil)
	v := r.open(nil)
	v.sub(1, "a"+strings.Repeat("/+", 127), nil)
	v.send(map[string]any{"type": "sub", "id": 2, "filter": "a" + strings.Repeat("/", 20000)})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "limit" {
		t.Errorf("%+v %v, want suberr limit", m, err)
	}
}

func TestN76SubscriptionLimit(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.MaxSubscriptions = 3 })
	v := r.open(nil)
	for id := range 3 {
		v.sub(id, "a", nil)
	}
	v.send(map[string]any{"type": "sub", "id": 9, "filter": "a"})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "limit" {
		t.Errorf("%+v %v, want suberr limit", m, err)
	}
}

func TestN71ConnectionLimits(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"total":       func(c *Config) { c.Viewers.MaxConnections = 2 },
		"per address": func(c *Config) { c.Viewers.MaxPerAddress = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, change)
			first, second := r.open(nil), r.open(nil)
			resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade())
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("third: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
			second.sub(1, "a", nil) // those that are there are unharmed
			_ = first.ws.Close()
			eventually.Must(t, "the closed session to leave", func() bool { return r.b.wire.Sessions() == 1 })
			eventually.Must(t, "the free place to be given", func() bool {
				return r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade()).StatusCode == 101
			})
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) { // N84
	r := run(t, nil)
	host := r.b.Addresses().Viewers
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} { // N84
		conf := r.tls()
		conf.MinVersion, conf.MaxVersion = version, version
		if c, err := tls.Dial("tcp", host, conf); err == nil {
			_ = c.Close()
			t.Errorf("TLS version %x was accepted", version)
		}
	}
}

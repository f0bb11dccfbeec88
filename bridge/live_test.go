package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// short is the life of a token whose end is waited for: what comes before it takes a busy machine seconds. Tests that wait for
// that wait side by side.
const short = 6 * time.Second

func TestN37ExpiryCutsTheSession(t *testing.T) { // SEC-04
	t.Parallel()
	r := run(t, func(c *Config) { c.Auth.JWT.Leeway = 0 })
	exp := time.Now().Add(short).Truncate(time.Second)
	v := r.open(map[string]any{"exp": exp.Unix()})
	v.sub(1, "#", nil)
	if m := v.want("auth-expiring"); !m.Expires.Equal(exp) || time.Now().After(exp) {
		t.Errorf("notice %+v at %s, want before %s", m, time.Now(), exp)
	}
	v.wantClose(4200, "expired")
	if early := time.Until(exp); early > 0 {
		t.Errorf("cut %s before exp", early)
	}
}

// TestLongLife: an end so far away that a time.Duration cannot hold it is no end now.
func TestLongLife(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) })
	v := r.open(map[string]any{"exp": 253402300799})
	for range 3 {
		v.send(map[string]any{"type": "ping", "id": "x"})
		v.want("pong")
	}
	v.want("heartbeat")
}

// TestSnapshotsInARow: each is handed out before the next is made, ended ones do not stand in the way.
func TestSnapshotsInARow(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 20 {
		r.publish(p, fmt.Sprintf("s/%d", i), strings.Repeat("x", 10_000))
	}
	v := r.open(nil)
	const subs = 40
	for id := range subs {
		v.sendText(fmt.Sprintf(`{"type":"sub","id":%d,"filter":"#","snapshot":true}`, id))
		if id%2 == 1 {
			v.sendText(fmt.Sprintf(`{"type":"unsub","id":%d}`, id))
		}
	}
	for readings := 0; readings < subs/2*20; {
		if m := v.want("snapshot"); string(m.ID) != "" && (m.ID[len(m.ID)-1]-'0')%2 == 0 {
			readings += len(m.Readings)
		}
	}
}

// TestHelloIsShort: nobody reserves the memory of a large message before a token vouches for it.
func TestHelloIsShort(t *testing.T) {
	r := run(t, nil)
	long := `{"type":"ping","id":"x","more":"` + strings.Repeat("x", 20_000) + `"}`
	v := r.dial()
	v.sendText(long)
	v.wantClose(1009, "too big")
	v = r.open(nil)
	v.sendText(long)
	v.want("pong")
}

// TestMembersAreNamedExactly: a member in another spelling is not described in PROTOCOL.md, so it counts for nothing.
func TestMembersAreNamedExactly(t *testing.T) {
	r := run(t, nil)
	v := r.open(map[string]any{"grants": []string{"a"}})
	v.sendText(`{"type":"sub","id":1,"filter":"a","Filter":"b","\u017fince":{"epoch":"x","offset":1},"since":{"Epoch":"x","offset":0}}`)
	if ok := v.want("subok"); ok.Recovered || ok.Reason != "no-cursor" {
		t.Errorf("%+v, want no-cursor", ok)
	}
	v.sendText(`{"TYPE":"ping","id":"x"}`)
	v.wantClose(4005, "unknown type")
}

func TestN36RefreshNarrowsTheSession(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Auth.JWT.Leeway = 0 })
	p := r.publisher("dev")
	exp := time.Now().Add(short).Truncate(time.Second)
	v := r.open(map[string]any{"exp": exp.Unix(), "grants": []string{"a/#", "b/#"}})
	a := v.sub(1, "a/#", nil)
	v.sub(2, "b/#", nil)
	r.publish(p, "a/1", "1")
	got, at := v.collect(1, a.Offset)
	v.want("auth-expiring")
	v.send(map[string]any{"type": "auth", "token": r.token(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret"}})})
	v.want("authok")
	if m, err := v.next(); err != nil || m.Type != "suberr" || string(m.ID) != "2" || m.Reason != "forbidden" {
		t.Errorf("%+v %v, want suberr forbidden for 2", m, err)
	}
	r.publish(p, "a/secret", "hidden")
	r.publish(p, "b/1", "not any more")
	r.publish(p, "a/2", "2")
	more, _ := v.collect(1, at) // the chain goes on over the change of the access list
	if got = append(got, more...); got[0].Topic != "a/1" || got[1].Topic != "a/2" || len(got) != 2 {
		t.Errorf("delivered %+v, want a/1 and a/2", got)
	}
	<-time.After(time.Until(exp.Add(300 * time.Millisecond))) // the old token's end passes without effect
	v.send(map[string]any{"type": "ping", "id": "still here"})
	v.want("pong")
	v.send(map[string]any{"type": "unsub", "id": 1})
	v.want("unsubok")
}

func TestN38Revocation(t *testing.T) { // SEC-05
	path := filepath.Join(t.TempDir(), "revoked")
	r := run(t, func(c *Config) { c.Auth.RevocationFile = path })
	anna, ben, token := r.open(nil), r.open(map[string]any{"sub": "ben"}), r.open(map[string]any{"sub": "carl", "jti": "t-1"})
	begin := time.Now()
	if err := os.WriteFile(path, []byte("sub:anna\njti:t-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.wantClose(4007, "revoked")
	token.wantClose(4007, "revoked")
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("revocation took %s", took)
	}
	ben.sub(1, "#", nil)
	again := r.dial()
	again.send(map[string]any{"type": "hello", "token": r.token(nil)})
	again.wantClose(4007, "revoked")
	ben.send(map[string]any{"type": "auth", "token": r.token(map[string]any{"sub": "ben", "jti": "t-1"})})
	ben.wantClose(4007, "revoked")
}

// TestRevocationBesideABadLine: one line that does not read holds up no other, and the operator's alarm stays on until it is mended.
func TestRevocationBesideABadLine(t *testing.T) { // SEC-05
	path := filepath.Join(t.TempDir(), "revoked")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("")
	r := run(t, func(c *Config) { c.Auth.RevocationFile = path })
	anna := r.open(nil)
	stale := func(want float64) {
		t.Helper()
		eventually.Must(t, "the alarm to go on or off", func() bool { return r.metric("bridge_stale_file") == want })
	}
	stale(0)
	put("tenant:a\n") // well-formed, but there are no tenants
	stale(1)
	put("tenant:a\nsub:anna\n")
	anna.wantClose(4007, "revoked")
	stale(1)
	put("sub:anna\n")
	stale(0)
}

// closedCount returns how many sessions ended with a code.
func (r *running) closedCount(code string) float64 {
	r.t.Helper()
	var m dto.Metric
	if err := r.b.m.Closed.WithLabelValues(code).Write(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// TestPeersCodeIsNoLabel: a viewer must not make a time series of each code it can think of, nor count as slow.
func TestPeersCodeIsNoLabel(t *testing.T) {
	r := run(t, nil)
	for _, code := range []int{4100, 3999} {
		v := r.dial()
		if err := v.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, "")); err != nil {
			t.Fatal(err)
		}
		v.wantClose(code, "")
	}
	eventually.Must(t, "both sessions to be counted", func() bool { return r.closedCount("peer") == 2 })
	if n := r.closedCount("4100"); n != 0 {
		t.Errorf("%v sessions counted as slow", n)
	}
}

// TestN74StalledViewer: one that does not read costs bounded memory and is cut; the others get everything.
func TestN74StalledViewer(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.WriteTimeout = config.Duration(6 * time.Second) // the good one must make it on a loaded machine
		c.Viewers.Heartbeat = config.Duration(time.Minute)        // not silence is under test
		c.Journal.TailBytes = 1 << 20
	})
	const stalled, messages, size = 5, 300, 50_000
	hello := frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`)
	for range stalled {
		v := r.raw(t)
		if _, err := v.conn.Write(append(hello, frame(0x81, `{"type":"sub","id":1,"filter":"#"}`)...)); err != nil {
			t.Fatal(err)
		}
	}
	good := r.open(nil)
	ok := good.sub(1, "#", nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := r.publisher("dev")
	payload := strings.Repeat("x", size)
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < messages && err == nil; i++ {
			err = send(p, "big", payload)
		}
		sent <- err
	}()
	_ = good.ws.SetReadDeadline(time.Now().Add(2 * patience))
	got, _ := good.collect(messages, ok.Offset)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(got) != messages {
		t.Errorf("%d readings, want %d", len(got), messages)
	}
	clear(got)
	eventually.Must(t, "the stalled viewers to be cut", func() bool { return r.closedCount("4100") == stalled })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 48<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// TestManySubscriptionsInterleave: batches of several subscriptions of one session keep their own chains.
func TestManySubscriptionsInterleave(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	v := r.open(nil)
	cursor := map[string]uint64{}
	for id := range 10 {
		cursor[fmt.Sprint(id)] = v.sub(id, fmt.Sprintf("t/%d", id%5), nil).Offset
	}
	for i := range 200 {
		r.publish(p, fmt.Sprintf("t/%d", i%5), fmt.Sprint(i))
	}
	left := 400
	last := map[string]uint64{}
	for left > 0 {
		m := v.want("batch")
		id := string(m.ID)
		if m.From != cursor[id] {
			t.Fatalf("subscription %s: batch from %d, cursor %d", id, m.From, cursor[id])
		}
		cursor[id] = m.To
		for _, one := range m.Readings {
			if one.O <= last[id] || one.O > m.To || one.O <= m.From {
				t.Fatalf("subscription %s: offset %d after %d in (%d,%d]", id, one.O, last[id], m.From, m.To)
			}
			last[id] = one.O
			left--
		}
	}
}

// TestN76SubscribeStorm: subscribing and unsubscribing while messages flow leaves nothing behind.
func TestN76SubscribeStorm(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			err = send(p, fmt.Sprintf("s/%d", i%7), "x")
		}
		done <- err
	}()
	v := r.open(nil)
	for i := range 300 {
		v.send(map[string]any{"type": "sub", "id": i, "filter": fmt.Sprintf("s/%d/+/#", i%7), "snapshot": i%2 == 0})
		v.send(map[string]any{"type": "unsub", "id": i})
	}
	for n := 0; n < 300; {
		if m, err := v.next(); err != nil {
			t.Fatal(err)
		} else if m.Type == "unsubok" {
			n++
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually.Must(t, "all subscriptions to be gone", func() bool { return r.b.hub.Stats().Subscriptions == 0 })
}

func TestNewRefuses(t *testing.T) {
	r := run(t, nil)
	addr := r.b.Addresses()
	for name, tc := range map[string]struct {
		change func(*Config)
		is     error
		say    []string
	}{
		"viewers' port in use": {func(c *Config) { c.Viewers.Listen = addr.Viewers }, ErrUnavailable, []string{"viewers.listen", addr.Viewers, "in use", "--set"}},
		"MQTT port in use":     {func(c *Config) { c.MQTT.Listen = addr.MQTT }, ErrUnavailable, []string{"mqtt.listen", addr.MQTT, "in use"}},
		"ops port in use":      {func(c *Config) { c.Ops.Listen = addr.Ops }, ErrUnavailable, []string{"ops.listen", addr.Ops, "in use"}},
		"folder held":          {func(c *Config) { c.Data = r.cfg.Data }, ErrUnavailable, []string{"another running bridge"}},
		"no secret file":       {func(c *Config) { c.Auth.JWT.SecretFile = "/nowhere/key" }, ErrConfig, []string{"secretFile"}},
		"no certificate":       {func(c *Config) { c.Viewers.TLS = config.TLS{Cert: "/nowhere/c", Key: "/nowhere/k"} }, ErrConfig, []string{"viewers.tls"}},
		"no users file":        {func(c *Config) { c.MQTT.UsersFile = "/nowhere/u" }, ErrConfig, []string{"usersFile"}},
		"bad setting":          {func(c *Config) { c.Viewers.Heartbeat = 0 }, ErrConfig, []string{"viewers.heartbeat"}},
		"N31 weak secret": {func(c *Config) {
			c.Auth.JWT.SecretFile = filepath.Join(c.Data, "weak")
			if err := os.WriteFile(c.Auth.JWT.SecretFile, []byte("password\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrConfig, []string{"8 bytes", "at least 32"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t.TempDir())
			tc.change(&c)
			b, err := New(Options{Config: c})
			if err == nil {
				_ = b.Close()
				t.Fatal("no error")
			}
			for _, part := range tc.say {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			if !errors.Is(err, tc.is) {
				t.Errorf("%v, want %v", err, tc.is)
			}
		})
	}
	v := r.open(nil) // the one that runs is unharmed
	v.sub(1, "#", nil)
	if _, err := os.Stat(filepath.Join(r.cfg.Data, AddressFile)); err != nil {
		t.Errorf("the running bridge lost its address file: %v", err)
	}
}

func TestPlaintextViewers(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Plaintext = true })
	v := r.dialURL("ws://"+r.b.Addresses().Viewers+"/ws", nil)
	v.send(map[string]any{"type": "hello", "token": r.token(nil)})
	v.want("welcome")
	if _, err := os.Stat(filepath.Join(r.cfg.Data, "tls")); !os.IsNotExist(err) {
		t.Error("a certificate was made for nothing")
	}
}

func TestRunTwice(t *testing.T) {
	r := run(t, nil)
	if err := r.b.Run(context.Background()); err == nil {
		t.Error("a second Run is no error")
	}
	never, err := New(Options{Config: testConfig(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := never.Close(); err != nil {
			t.Errorf("Close of a bridge that never ran: %v", err)
		}
	}
}

// TestNothingIsLeftRunning: Run returns after all goroutines of the bridge have ended.
func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	r := run(t, nil)
	p := r.publisher("dev")
	v := r.open(nil)
	ok := v.sub(1, "#", nil)
	r.publish(p, "a", "x")
	v.collect(1, ok.Offset)
	r.drain()
	_ = v.ws.Close()
	_ = p.Disconnect(&paho.Disconnect{}) // its connection has ended, its own goroutines end now
	eventually.Must(t, "all goroutines of the bridge to end", func() bool { return runtime.NumGoroutine() <= before })
}

// TestDrainIsBounded: viewers that read nothing cannot hold up the end.
func TestDrainIsBounded(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.WriteTimeout = config.Duration(time.Minute) })
	p := r.publisher("dev")
	v := r.raw(t)
	if _, err := v.conn.Write(append(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`), frame(0x81, `{"type":"sub","id":1,"filter":"#"}`)...)); err != nil {
		t.Fatal(err)
	}
	payload := strings.Repeat("x", 50_000)
	for range 300 {
		r.publish(p, "big", payload)
	}
	begin := time.Now()
	r.drain()
	if took := time.Since(begin); took > 45*time.Second { // of the minute that the write has
		t.Errorf("draining took %s", took)
	}
}

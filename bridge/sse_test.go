package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// TestEventsAreComplete: readings come while the viewer is there, while it is away and while it comes back; with Last-Event-ID,
// which is all that a browser's EventSource knows, it gets each once and in order.
func TestEventsAreComplete(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(*Config)) {
		t.Helper()
		r := run(t, way)
		f := r.follower(nil)
		e := f.events(filter("a/#"))
		ok := e.want("subok")
		if ok.Recovered || ok.Reason != "no-cursor" || ok.id != at(ok.Epoch, ok.Offset) {
			t.Fatalf("%+v, want not recovered and an id", ok)
		}
		const total = 300
		failed := make(chan error, 1)
		p := r.publisher("dev")
		go func() {
			var err error
			for i := 0; i < total && err == nil; i++ {
				if err = send(p, fmt.Sprintf("a/%d", i%7), strconv.Itoa(i)); err == nil && i%3 == 0 {
					err = send(p, "b", "of no interest")
				}
			}
			failed <- err
		}()
		cursor, n := ok.Offset, 0
		for n < total {
			var got []reading
			got, cursor = e.collect(min(40, total-n), ok.Epoch, cursor)
			for _, g := range got {
				if g.Payload != strconv.Itoa(n) {
					t.Fatalf("reading %d is %+v", n, g)
				}
				n++
			}
			_ = e.resp.Body.Close()
			last := e.lastID
			e = f.events(filter("a/#", "since", "of the first:1"), "Last-Event-ID", last)
			if back := e.want("subok"); !back.Recovered || back.Offset != cursor || at(back.Epoch, cursor) != last {
				t.Fatalf("%+v, want recovered at %d", back, cursor)
			}
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	})
}

// TestEventsSnapshot: the values first, in parts; who is cut off within them must not come back as if he had them all.
func TestEventsSnapshot(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 3 {
		r.publish(p, fmt.Sprintf("s/%d", i), strings.Repeat("x", 20_000))
	}
	r.publish(p, "s/secret", "hidden")
	e := r.follower(map[string]any{"denies": map[string]any{"snapshot": []string{"s/secret"}}}).events(filter("s/#", "snapshot", "true"))
	ok := e.want("subok")
	if ok.id != "" || e.resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("subok before a snapshot has id %q", ok.id)
	}
	seen, parts := 0, 0
	for parts == 0 || parts < 3 {
		part := e.want("snapshot")
		parts++
		for _, g := range part.Readings {
			if g.Topic == "s/secret" {
				t.Error("the snapshot holds what is denied")
			}
			seen++
		}
		if want := map[bool]string{true: at(ok.Epoch, ok.Offset)}[parts == 3]; part.id != want {
			t.Errorf("part %d has id %q, want %q", parts, part.id, want)
		}
	}
	if seen != 3 {
		t.Errorf("%d values, want 3", seen)
	}
	r.publish(p, "s/1", "next")
	if got, _ := e.collect(1, ok.Epoch, ok.Offset); got[0].Payload != "next" {
		t.Errorf("after the snapshot came %+v", got)
	}
}

func TestEventsHeartbeat(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(100 * time.Millisecond) })
	e := r.follower(nil).events(filter("#"))
	for {
		ev, ok := e.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if ev.kind == "subok" && !strings.Contains(ev.data, `"heartbeat_ms":100`) {
			t.Errorf("subok does not say how often to expect one: %s", ev.data)
		}
		if ev.comment == "heartbeat" {
			break
		}
	}
}

// runShort runs a bridge whose listener gives an ordinary request four seconds.
func runShort(t *testing.T, change func(*Config)) *running {
	t.Helper()
	c := testConfig(t.TempDir())
	change(&c)
	b, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	b.viewers.ReadTimeout, b.viewers.WriteTimeout = 4*time.Second, 4*time.Second // for the TLS handshake too
	return runMade(t, c, b)
}

// TestEventsOutliveTheListenersTimeouts: the deadlines of an ordinary request end no stream.
func TestEventsOutliveTheListenersTimeouts(t *testing.T) {
	t.Parallel()
	r := runShort(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(100 * time.Millisecond) })
	e := r.follower(nil).events(filter("#"))
	for beats := 0; beats < 60; {
		ev, ok := e.next()
		if !ok {
			t.Fatalf("the stream ended after %d heartbeats: %v", beats, e.lines.Err())
		}
		if ev.comment == "heartbeat" {
			beats++
		}
	}
}

// TestWaitingOutlivesTheListenersTimeouts: an answer that had to wait still finds its way, and so does a refusal.
func TestWaitingOutlivesTheListenersTimeouts(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, way func(*Config)) {
		t.Helper()
		t.Parallel()
		r := runShort(t, func(c *Config) { way(c); c.Auth.JWT.Leeway = 0 })
		anna := r.follower(nil)
		now := anna.poll(filter("#"))
		if a := anna.poll(filter("#", "since", at(now.Epoch, now.To), "wait", "5s")); !a.Recovered {
			t.Errorf("%+v", a)
		}
		ben := r.follower(map[string]any{"sub": "ben", "exp": time.Now().Add(short).Unix()})
		ben.refused(http.StatusUnauthorized, "expired", "/poll", filter("#", "since", at(now.Epoch, now.To), "wait", "30s"))
	})
}

// TestPollGivenUp: a client that leaves while it waits is forgotten, and is no refusal on record.
func TestPollGivenUp(t *testing.T) {
	var log kept
	c := testConfig(t.TempDir())
	b, err := New(Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r := runMade(t, c, b)
	f := r.follower(nil)
	now := f.poll(filter("#"))
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+b.Addresses().Viewers+"/poll?wait=30s&filter=a&since="+at(now.Epoch, now.To), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	left := make(chan error)
	go func() {
		resp, err := f.http.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		left <- err
	}()
	eventually.Must(t, "the poll to wait", func() bool { return r.openHTTP("poll") == 1 })
	leave()
	if err := <-left; err == nil {
		t.Error("the poll was answered")
	}
	eventually.Must(t, "the poll to be forgotten", func() bool { return r.openHTTP("poll") == 0 })
	r.drain()
	if text := log.buf.String(); strings.Contains(text, "msg=refused") {
		t.Errorf("on record: %s", text)
	}
}

// TestN38EventsEndWithTheToken: by revocation and by expiry, a stream that is open and a poll that waits.
func TestN38EventsEndWithTheToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "revoked")
	r := run(t, func(c *Config) { c.Auth.RevocationFile, c.Auth.JWT.Leeway = path, 0 })
	anna, ben := r.follower(nil), r.follower(map[string]any{"sub": "ben", "exp": time.Now().Add(short).Unix()})
	e := anna.events(filter("#"))
	ok := e.want("subok")
	short := ben.events(filter("#"))
	short.want("subok")
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		anna.refused(http.StatusUnauthorized, "revoked", "/poll", filter("#", "since", at(ok.Epoch, ok.Offset), "wait", "30s"))
	}()
	eventually.Must(t, "the poll to wait", func() bool { return r.openHTTP("poll") == 1 })
	if err := os.WriteFile(path, []byte("sub:anna\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if last := e.wantEnd(); last.kind != "end" || last.Reason != "revoked" || last.id != "" {
		t.Errorf("the stream's last event is %+v, want its end by revocation", last)
	}
	<-waiting
	if last := short.wantEnd(); last.kind != "end" || last.Reason != "expired" {
		t.Errorf("the stream's last event is %+v, want its end by expiry", last)
	}
	resp := anna.get("/sse", filter("#"))
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a revoked token opens a stream: %d", resp.StatusCode)
	}
}

// TestN74StalledEventStream: one that does not read is cut; what was meant for it is nowhere but in the journal.
func TestN74StalledEventStream(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, way func(*Config)) {
		t.Helper()
		t.Parallel()
		r := run(t, func(c *Config) { way(c); c.Viewers.WriteTimeout = config.Duration(6 * time.Second) }) // the good one must make it on a busy machine
		stalled := r.follower(nil).events(filter("#"))
		stalled.want("subok")
		good := r.follower(map[string]any{"sub": "ben"}).events(filter("#"))
		ok := good.want("subok")
		p := r.publisher("dev")
		const count, size = 400, 50_000 // beyond what the sockets' buffers hold
		go func() {
			for range count {
				if send(p, "a", strings.Repeat("x", size)) != nil {
					return
				}
			}
		}()
		good.collect(count, ok.Epoch, ok.Offset)
		eventually.Must(t, "the stalled stream to be cut", func() bool { return r.openHTTP("sse") == 1 })
		if held := r.b.hub.Stats().RingBytes; held > 8<<20 {
			t.Errorf("%d bytes are kept for viewers", held)
		}
	})
}

// TestRevocationEndsStalledEventStream: it does not have to wait for the write that its viewer does not take.
func TestRevocationEndsStalledEventStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	r := run(t, func(c *Config) { c.Auth.RevocationFile, c.Viewers.WriteTimeout = path, config.Duration(time.Minute) })
	stalled := r.follower(nil).events(filter("#"))
	stalled.want("subok")
	good := r.follower(map[string]any{"sub": "ben"}).events(filter("#"))
	ok := good.want("subok")
	p := r.publisher("dev")
	const count, size = 400, 50_000 // beyond what the sockets' buffers hold
	go func() {
		for range count {
			if send(p, "a", strings.Repeat("x", size)) != nil {
				return
			}
		}
	}()
	good.collect(count, ok.Epoch, ok.Offset)
	if err := os.WriteFile(path, []byte("sub:anna\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the stalled stream to end", func() bool { return r.openHTTP("sse") == 1 })
}

// TestN103DrainEndsEvents: told, ended, and nothing lost when it comes back to the bridge's successor.
func TestN103DrainEndsEvents(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(*Config)) {
		t.Helper()
		dir := t.TempDir()
		c := testConfig(dir)
		way(&c)
		r := runConfig(t, c)
		f := r.follower(nil)
		e := f.events(filter("#"))
		ok := e.want("subok")
		p := r.publisher("dev")
		for i := range 50 {
			r.publish(p, "a", strconv.Itoa(i))
		}
		waiting := f.polling(filter("nothing", "since", at(ok.Epoch, ok.Offset), "wait", "30s"))
		eventually.Must(t, "the poll to wait", func() bool { return r.openHTTP("poll") == 1 })
		r.stop()
		if a := waiting(); len(a.Readings) != 0 || a.From != ok.Offset {
			t.Errorf("the poll got %+v, want an empty answer at once", a)
		}
		var got []reading
		last := event{}
		for {
			ev, more := e.next()
			if !more {
				break
			}
			got, last = append(got, ev.Readings...), ev
		}
		if last.kind != "draining" || last.RetryMS < 1 || last.retry != strconv.FormatInt(last.RetryMS, 10) || last.id != "" {
			t.Errorf("last came %+v, want draining with a time to come back", last)
		}
		r.drain()
		r = runConfig(t, c)
		back := r.follower(nil).events(filter("#"), "Last-Event-ID", e.lastID)
		if ok := back.want("subok"); !ok.Recovered {
			t.Fatalf("%+v, want recovered", ok)
		}
		if n := len(got); n < 50 {
			epoch, offset, _ := strings.Cut(e.lastID, ":")
			from, _ := strconv.ParseUint(offset, 10, 64)
			rest, _ := back.collect(50-n, epoch, from)
			got = append(got, rest...)
		}
		for i, g := range got {
			if g.Payload != strconv.Itoa(i) {
				t.Fatalf("reading %d is %+v", i, g)
			}
		}
	})
}

// TestEventsComeBackSoon: EventSource waits for retry before its first try too, and a dashboard may be dark for two seconds.
func TestEventsComeBackSoon(t *testing.T) {
	t.Parallel()
	f := run(t, nil).follower(nil)
	for range 20 {
		first, ok := f.events(filter("#")).next()
		if ms, err := strconv.Atoi(first.retry); !ok || err != nil || ms < 500 || ms > 1500 {
			t.Fatalf("the stream begins with retry %q, want 500 to 1500", first.retry)
		}
	}
}

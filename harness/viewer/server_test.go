package viewer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

const patience = time.Minute

// limit returns a context that ends before the test binary would.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("waited %v", patience))
	t.Cleanup(cancel)
	return ctx
}

// server is a small real server of the protocol, over TLS, with a journal in
// memory. Tests change its behaviour between connections.
type server struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	epoch    string
	entries  []entry // offset is the index plus one
	changed  chan struct{}
	conns    []*websocket.Conn
	hellos   []map[string]any
	subs     []map[string]any
	auths    []string
	pushed   []string                                           // frames that a test wants sent
	script   func(c *websocket.Conn, hello map[string]any) bool // true: it did all there was to do
	silent   bool                                               // sends nothing after subok
	interval time.Duration                                      // of heartbeats
}

type entry struct {
	topic, payload string
	retain         bool
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, epoch: "e1", changed: make(chan struct{}), interval: 200 * time.Millisecond}
	upgrader := websocket.Upgrader{Subprotocols: []string{Subprotocol}, CheckOrigin: func(*http.Request) bool { return true }}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "https://evil.test" {
			http.Error(w, "origin", http.StatusForbidden)
			return
		}
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.serve(c)
	}))
	t.Cleanup(func() { s.dropAll(); s.Close() })
	return s
}

func (s *server) url() string { return "wss" + strings.TrimPrefix(s.URL, "https") }

func (s *server) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{RootCAs: pool}
}

func (s *server) publish(entries ...entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, entries...)
	close(s.changed)
	s.changed = make(chan struct{})
}

// push has a frame sent by the goroutine that writes.
func (s *server) push(frame string) {
	s.mu.Lock()
	s.pushed = append(s.pushed, frame)
	s.mu.Unlock()
	s.publish()
}

// dropAll cuts every connection without a close frame.
func (s *server) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.UnderlyingConn().Close()
	}
	s.conns = nil
}

// sessions returns how many hellos were said.
func (s *server) sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hellos)
}

func read(c *websocket.Conn) (map[string]any, error) {
	_, data, err := c.ReadMessage()
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(data, &m)
}

func say(c *websocket.Conn, format string, args ...any) {
	_ = c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...))
}

func hangUp(c *websocket.Conn, code int, text string) {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
}

func (s *server) serve(c *websocket.Conn) {
	hello, err := read(c)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.hellos = append(s.hellos, hello)
	script, head, epoch, interval := s.script, len(s.entries), s.epoch, s.interval
	s.mu.Unlock()
	if script != nil && script(c, hello) {
		return
	}
	say(c, `{"type":"welcome","session":"s","protocol":1,"node":"n","epoch":%q,"head":%d,"heartbeat_ms":%d,"limits":{"max_frame_bytes":65536}}`, epoch, head, interval.Milliseconds())
	incoming := make(chan map[string]any)
	go func() {
		defer close(incoming)
		for {
			m, err := read(c)
			if err != nil {
				return
			}
			incoming <- m
		}
	}()
	defer func() {
		_ = c.Close()
		for range incoming { // lets the reader end
		}
	}()
	s.live(c, incoming)
}

// live answers subscriptions and sends batches.
func (s *server) live(c *websocket.Conn, incoming <-chan map[string]any) {
	type sub struct {
		id, at int
		filter string
	}
	var subs []*sub
	tick := time.NewTicker(s.interval / 2)
	defer tick.Stop()
	for {
		s.mu.Lock()
		changed, silent := s.changed, s.silent
		s.mu.Unlock()
		select {
		case m, ok := <-incoming:
			switch {
			case !ok:
				return
			case m["type"] == "auth":
				s.mu.Lock()
				s.auths = append(s.auths, m["token"].(string))
				s.mu.Unlock()
				say(c, `{"type":"authok","expires":"later"}`)
			case m["type"] == "sub":
				at := s.accept(c, m)
				subs = append(subs, &sub{int(m["id"].(float64)), at, m["filter"].(string)})
			}
		case <-changed:
		case <-tick.C:
			if !silent {
				say(c, `{"type":"heartbeat","epoch":"e1","head":9999,"cursors":{},"delivered":{},"gaps":{}}`)
			}
		}
		s.mu.Lock()
		for _, frame := range s.pushed {
			say(c, "%s", frame)
		}
		s.pushed = nil
		s.mu.Unlock()
		for _, x := range subs {
			if !silent {
				x.at = s.send(c, x.id, x.filter, x.at)
			}
		}
	}
}

// accept answers a subscription and returns where it starts.
func (s *server) accept(c *websocket.Conn, m map[string]any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs = append(s.subs, m)
	at, recovered, reason := len(s.entries), false, "no-cursor"
	if since, ok := m["since"].(map[string]any); ok {
		reason = "epoch"
		if since["epoch"] == s.epoch {
			at, recovered, reason = int(since["offset"].(float64)), true, ""
		}
	}
	say(c, `{"type":"subok","id":%v,"filter":%q,"epoch":%q,"offset":%d,"recovered":%v,"reason":%q}`, m["id"], m["filter"], s.epoch, at, recovered, reason)
	if m["snapshot"] == true && !recovered {
		var parts []string
		for i, e := range s.entries {
			if matches(m["filter"].(string), e.topic) {
				parts = append(parts, readingJSON(i+1, e))
			}
		}
		say(c, `{"type":"snapshot","id":%v,"part":1,"parts":1,"readings":[%s]}`, m["id"], strings.Join(parts, ","))
	}
	return at
}

func readingJSON(offset int, e entry) string {
	payload, _ := json.Marshal(e.payload)
	retain := ""
	if e.retain {
		retain = `,"retain":true`
	}
	return fmt.Sprintf(`{"o":%d,"t":1732332000123456,"topic":%q,"qos":1,"payload":%s%s}`, offset, e.topic, payload, retain)
}

func (s *server) send(c *websocket.Conn, id int, filter string, at int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at >= len(s.entries) {
		return at
	}
	var parts []string
	for i, e := range s.entries[at:] {
		if matches(filter, e.topic) {
			parts = append(parts, readingJSON(at+i+1, e))
		}
	}
	say(c, `{"type":"batch","id":%d,"epoch":%q,"from":%d,"to":%d,"readings":[%s]}`, id, s.epoch, at, len(s.entries), strings.Join(parts, ","))
	return len(s.entries)
}

// recording is a real recorder that a test reads back.
type recording struct {
	*record.Recorder
	t *testing.T
}

func newRecording(t *testing.T) *recording {
	t.Helper()
	r, err := record.NewRecorder(t.TempDir(), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return &recording{r, t}
}

func (r *recording) log() *record.Log {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	log, err := r.Log()
	if err != nil {
		r.t.Fatal(err)
	}
	return log
}

// kinds counts records by kind; events counts events by kind.
func offsets(log *record.Log, kind record.Kind) []uint64 {
	var out []uint64
	for _, r := range log.Records {
		if r.Kind == kind {
			out = append(out, r.Offset)
		}
	}
	return out
}

func events(log *record.Log, kind record.EventKind) []record.Event {
	return slices.DeleteFunc(slices.Clone(log.Events), func(e record.Event) bool { return e.Kind != kind })
}

func (s *server) config(r *recording) Config {
	return Config{
		Name: "viewer-1", URL: s.url(), TLS: s.tls(), Filters: []string{"a/#"}, Recorder: r.Recorder,
		Reconnect: Backoff{Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond, Seed: 1},
	}
}

func open(t *testing.T, cfg Config) *Viewer {
	t.Helper()
	v, err := Open(limit(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition that nothing announces.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := limit(t)
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", patience, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
)

// peer is one connection of a scripted bridge, for what a good bridge never says.
type peer struct {
	t  *testing.T
	ws *websocket.Conn
	n  int // which connection this is, from 0
}

// scripted serves each connection by script and returns the URL. The connection ends when script returns.
func scripted(t *testing.T, script func(p *peer)) string {
	t.Helper()
	var mu sync.Mutex
	n := 0
	var wg sync.WaitGroup
	up := websocket.Upgrader{Subprotocols: []string{subprotocol}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1) // before the upgrade, from which on the server's Close does not wait for this one
		defer wg.Done()
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		mu.Lock()
		p := &peer{t, ws, n}
		n++
		mu.Unlock()
		script(p)
	}))
	t.Cleanup(func() { srv.Close(); wg.Wait() })
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
}

// say sends text, or nothing when the client has gone.
func (p *peer) say(lines ...string) {
	for _, l := range lines {
		_ = p.ws.WriteMessage(websocket.TextMessage, []byte(l))
	}
}

// hear returns the next command, "" when the client has gone.
func (p *peer) hear() string {
	_ = p.ws.SetReadDeadline(time.Now().Add(eventually.Patience))
	_, raw, err := p.ws.ReadMessage()
	if err != nil {
		return ""
	}
	return string(raw)
}

// drain reads until the client goes, which may be long after its last command.
func (p *peer) drain() {
	_ = p.ws.SetReadDeadline(time.Time{})
	for {
		if _, _, err := p.ws.ReadMessage(); err != nil {
			return
		}
	}
}

func (p *peer) bye(code int, reason string) {
	_ = p.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	p.drain()
}

const welcome = `{"type":"welcome","session":"s","node":"n","epoch":"E","head":9,"heartbeat_ms":%d}`

// greet takes hello and says welcome.
func (p *peer) greet(heartbeat time.Duration) {
	p.hear()
	p.say(fmt.Sprintf(welcome, heartbeat.Milliseconds()))
}

// log collects events.
type eventLog struct {
	mu   sync.Mutex
	list []Event
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

// of returns the events of a kind.
func (l *eventLog) of(kind EventKind) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Event
	for _, e := range l.list {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// options are such that waits are short and known: half of 2 ms, 4 ms, 8 ms and so on.
func (l *eventLog) options(url string) Options {
	return Options{
		URL: url, Token: func(context.Context) (string, error) { return "t", nil }, OnEvent: l.add,
		MinBackoff: 2 * time.Millisecond, MaxBackoff: time.Hour, Timeout: eventually.Patience, Rand: func() float64 { return 0.5 },
	}
}

func dial(t *testing.T, o Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	c, err := Dial(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func next(t *testing.T, s *Subscription) Update {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	u, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return u
}

// manualClock moves only when told.
type manualClock struct {
	mu      sync.Mutex
	now     time.Time
	waiting []*waiter
}

type waiter struct {
	at   time.Time
	c    chan time.Time
	gone bool
}

func newManualClock() *manualClock { return &manualClock{now: time.Unix(1_000_000, 0)} }

func (m *manualClock) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *manualClock) After(d time.Duration) (<-chan time.Time, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &waiter{at: m.now.Add(d), c: make(chan time.Time, 1)}
	m.waiting = append(m.waiting, w)
	return w.c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		w.gone = true
	}
}

// step moves to the next moment that somebody waits for, and returns how far that was.
func (m *manualClock) step(t *testing.T) time.Duration {
	t.Helper()
	var moved time.Duration
	eventually.Must(t, "somebody who waits for the clock", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		var first *waiter
		for _, w := range m.waiting {
			if !w.gone && (first == nil || w.at.Before(first.at)) {
				first = w
			}
		}
		if first == nil {
			return false
		}
		moved = first.at.Sub(m.now)
		m.now, first.gone = first.at, true
		first.c <- m.now
		return true
	})
	return moved
}

func (m *manualClock) someoneWaits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.waiting {
		if !w.gone {
			return true
		}
	}
	return false
}

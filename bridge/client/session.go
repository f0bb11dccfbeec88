package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// subprotocol is the one protocol that is spoken here.
const subprotocol = "plumbline.v1.json"

// errOver says that the session ended while a message was handled.
var errOver = errors.New("client: the session is over")

// errTooBig ends the client: the same message would come again.
var errTooBig = errors.New("client: the bridge sent a message larger than Options.MaxMessageBytes: raise it")

// errNoToken stands for what the bridge would say.
var errNoToken = errors.New("client: Options.Token returned an empty token")

// session is one connection. Its reader runs on the client's goroutine, its keeper, which is the only writer of commands, and a
// token refresh on their own.
type session struct {
	c      *Client
	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	ws     *websocket.Conn
	began  time.Time // what heard counts from
	wg     sync.WaitGroup

	poke   chan struct{} // subscriptions changed
	tokens chan string   // to send
	over   chan struct{} // closed when the reader has ended

	heard      atomic.Int64 // when the last byte came or the reader began to wait, whichever is later; nanoseconds
	limit      atomic.Int64 // longest silence, nanoseconds; 0 before the welcome
	reading    atomic.Bool  // the reader waits for bytes
	blocked    atomic.Bool  // the reader waits for a consumer
	refreshing atomic.Bool  // a token is being fetched

	mu    sync.Mutex
	raw   net.Conn // the socket, below TLS
	token string   // the last one sent
	cause error    // why this side cut the connection
	feeds map[int64]*feed

	// The fields below belong to the reader.
	welcome bool
	retry   time.Duration // asked for by draining; negative = not said
}

func newSession(c *Client) *session {
	s := &session{c: c, began: c.o.Clock.Now(), poke: make(chan struct{}, 1), tokens: make(chan string), over: make(chan struct{}),
		feeds: map[int64]*feed{}, retry: -1}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	return s
}

// run connects, serves and returns why that ended; never nil. All goroutines of the session have ended then.
func (s *session) run() error {
	defer s.cancel()
	token, err := s.c.o.Token(s.ctx)
	switch {
	case err != nil:
		return fmt.Errorf("client: no token: %w", err)
	case token == "":
		return errNoToken
	case token == s.c.refused:
		return fmt.Errorf("client: Options.Token has no other token than the one refused: %w", s.c.last)
	}
	s.token = token
	if err := s.dial(); err != nil {
		return err
	}
	defer func() { _ = s.raw.Close() }()
	s.listen(true)
	if err := s.send(helloCmd{"hello", token, s.c.o.Name}); err != nil {
		return err
	}
	s.wg.Go(s.keep)
	err = s.read()
	close(s.over)
	s.c.mu.Lock()
	s.c.session = nil
	s.c.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	return err
}

// dial opens the connection up to the end of the handshake.
func (s *session) dial() error {
	o := s.c.o
	ctx, cancel := context.WithTimeout(s.ctx, o.Timeout)
	defer cancel()
	d := websocket.Dialer{Subprotocols: []string{subprotocol}, TLSClientConfig: o.TLS, Proxy: http.ProxyFromEnvironment, NetDialContext: s.netDial}
	ws, resp, err := d.DialContext(ctx, o.URL, nil) //nolint:bodyclose // the body is in memory, or is the connection
	if err != nil {
		if s.raw != nil {
			_ = s.raw.Close()
		}
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return handshakeError(resp)
		}
		return fmt.Errorf("client: connect: %w", err)
	}
	s.ws = ws
	if ws.Subprotocol() != subprotocol {
		return errors.Join(&HandshakeError{Status: resp.StatusCode, Reason: "the other end does not speak " + subprotocol, Retry: -1}, s.raw.Close())
	}
	ws.SetReadLimit(o.MaxMessageBytes)
	return nil
}

func (s *session) netDial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := s.c.o.NetDial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	heard := &hearing{Conn: conn, s: s}
	s.mu.Lock()
	s.raw = heard
	s.mu.Unlock()
	return heard, nil
}

// hearing notes every byte that comes: liveness is what is heard, not what is said.
type hearing struct {
	net.Conn
	s *session
}

// Read implements net.Conn.
func (h *hearing) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 {
		h.s.hear()
	}
	return n, err
}

func (s *session) hear() { s.heard.Store(int64(s.c.o.Clock.Now().Sub(s.began))) }

func handshakeError(resp *http.Response) *HandshakeError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // the reason is only a hint
	e := &HandshakeError{Status: resp.StatusCode, Reason: fmt.Sprintf("%.200q", body), Retry: -1}
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32); err == nil {
		e.Retry = retryAfter(n * 1000)
	}
	return e
}

// send writes one command. Until the keeper runs it belongs to run, then to the keeper.
func (s *session) send(cmd any) error {
	if err := s.ws.SetWriteDeadline(time.Now().Add(s.c.o.Timeout)); err != nil { // the socket's own clock
		return fmt.Errorf("client: send: %w", err)
	}
	if err := s.ws.WriteJSON(cmd); err != nil {
		return fmt.Errorf("client: send: %w", err)
	}
	return nil
}

// listen notes that the reader waits for bytes from now on, or does not.
func (s *session) listen(on bool) {
	if on {
		s.hear()
	}
	s.reading.Store(on)
}

// read handles messages until the session ends, and returns why.
func (s *session) read() error {
	for {
		s.listen(true)
		kind, raw, err := s.ws.ReadMessage()
		s.listen(false)
		if err == nil && kind != websocket.TextMessage {
			err = broken("a binary message")
		} else if err == nil {
			err = s.handle(raw)
		}
		if err != nil {
			return s.why(err)
		}
	}
}

// why turns an error of the reader into the reason for the session's end.
func (s *session) why(err error) error {
	s.mu.Lock()
	cause := s.cause
	s.mu.Unlock()
	var ce *websocket.CloseError
	switch {
	case cause != nil:
		return cause
	case errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure && ce.Code != websocket.CloseNoStatusReceived:
		return closeError(ce)
	case errors.Is(err, websocket.ErrReadLimit):
		return errTooBig
	case errors.Is(err, ErrBroken), errors.Is(err, errOver):
		return err
	}
	return fmt.Errorf("client: connection lost: %w", err)
}

// fail cuts the connection for a reason of this side.
func (s *session) fail(cause error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = cause
	}
	s.mu.Unlock()
	s.cancel()
	_ = s.raw.Close()
}

func (s *session) currentToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// handle takes one message of the bridge.
func (s *session) handle(raw []byte) error {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return broken("a message that is no JSON object")
	}
	kind, _ := m.text("type")
	if !s.welcome {
		if kind != "welcome" {
			return broken("%.40q before welcome", kind)
		}
		return s.open(m)
	}
	switch kind {
	case "subok", "snapshot", "batch", "gap":
		return s.feedMessage(kind, m)
	case "suberr":
		s.refused(m)
	case "heartbeat":
		return s.heartbeat(m)
	case "auth-expiring":
		if !s.refreshing.Swap(true) {
			s.wg.Go(s.refresh)
		}
	case "authok":
		s.c.event(Event{Kind: EventRefreshed})
	case "draining":
		ms, _ := m.whole("retry_ms")
		s.retry = retryAfter(ms)
		s.c.event(Event{Kind: EventDraining, Wait: s.retry})
	}
	return nil // a later version may say more
}

// Bounds of the bridge's heartbeat: less would cut good connections, more would never find dead ones.
const (
	minHeartbeat = 50 * time.Millisecond
	maxHeartbeat = 10 * time.Minute
)

// open takes welcome.
func (s *session) open(m message) error {
	ms, ok := m.whole("heartbeat_ms")
	if !ok || ms == 0 {
		return broken("welcome without heartbeat_ms")
	}
	beat := min(max(time.Duration(min(ms, 1<<32))*time.Millisecond, minHeartbeat), maxHeartbeat)
	s.limit.Store(int64(beat + beat/2))
	s.welcome = true
	c := s.c
	c.refused = ""
	c.mu.Lock()
	c.session = s
	select {
	case <-c.welcomed:
	default:
		close(c.welcomed)
	}
	c.poke()
	c.mu.Unlock()
	node, _ := m.text("node")
	id, _ := m.text("session")
	c.event(Event{Kind: EventConnected, Node: node, Session: id})
	return nil
}

func (s *session) feedOf(m message) (int64, *feed) {
	id, ok := m.whole("id")
	if !ok {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(id), s.feeds[int64(id)]
}

func (s *session) feedMessage(kind string, m message) error {
	_, f := s.feedOf(m)
	if f == nil || f.sub.ended() { // it was unsubscribed, and the bridge does not know yet
		return nil
	}
	return s.blame(f, f.take(s, kind, m))
}

// blame counts and reports what was broken, and passes the error on.
func (s *session) blame(f *feed, err error) error {
	if errors.Is(err, ErrBroken) {
		f.sub.mu.Lock()
		f.sub.stats.Broken++
		f.sub.mu.Unlock()
		s.c.event(Event{Kind: EventBroken, Filter: f.sub.filter, Err: err})
	}
	return err
}

// refused takes suberr.
func (s *session) refused(m message) {
	_, f := s.feedOf(m)
	if f == nil {
		return
	}
	err := &SubscribeError{Filter: f.sub.filter}
	err.Reason, _ = m.text("reason")
	err.Detail, _ = m.text("detail")
	f.sub.end(err)
	s.c.drop(f.sub)
	s.c.event(Event{Kind: EventRefused, Filter: f.sub.filter, Err: err})
}

func (s *session) heartbeat(m message) error {
	said := account{m.counts("cursors"), m.counts("delivered"), m.counts("gaps"), m.counts("conflations")}
	s.mu.Lock()
	all := make(map[int64]*feed, len(s.feeds))
	for id, f := range s.feeds {
		all[id] = f
	}
	s.mu.Unlock()
	for id, f := range all {
		if f.sub.ended() {
			continue
		}
		if err := s.blame(f, f.audit(id, said)); err != nil {
			return err
		}
	}
	return nil
}

package viewer

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
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// connectLimit bounds the handshake, and again all from hello to the last subok.
const connectLimit = 10 * time.Second

// frameLimit bounds a frame in memory; snapshots come in parts well below it.
const frameLimit = 16 << 20

// session is one connection.
type session struct {
	conn    *websocket.Conn
	silence time.Duration
	head    uint64 // of the journal at welcome
	retry   time.Duration
	welcome bool
	refused error // a subscription was refused
	write   sync.Mutex
	stop    func() bool // ends the watch over the viewer's context
}

// The messages of the client.
type (
	helloMessage struct {
		Type   string `json:"type"`
		Token  string `json:"token,omitempty"`
		Client string `json:"client,omitempty"`
	}
	subMessage struct {
		Type     string       `json:"type"`
		ID       uint64       `json:"id"`
		Filter   string       `json:"filter"`
		Mode     string       `json:"mode"`
		Snapshot bool         `json:"snapshot,omitempty"`
		Since    *sinceCursor `json:"since,omitempty"`
	}
	sinceCursor struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	}
	authMessage struct {
		Type  string `json:"type"`
		Token string `json:"token"`
	}
)

// connect makes a session and returns when every filter is subscribed.
func (v *Viewer) connect(ctx context.Context) (*session, error) {
	token := ""
	if v.cfg.Token != nil {
		var err error
		if token, err = v.cfg.Token(ctx); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
	}
	conn, err := v.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, silence: connectLimit}
	s.stop = context.AfterFunc(v.ctx, func() { _ = conn.UnderlyingConn().Close() })
	conn.SetReadLimit(frameLimit)
	conn.SetPingHandler(func(data string) error {
		s.touch()
		err := conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil // after our goodbye the server may still end its sentence
		}
		return err
	})
	ctx, cancel := context.WithTimeoutCause(ctx, v.cfg.connectLimit, fmt.Errorf("not subscribed within %v", v.cfg.connectLimit))
	defer cancel()
	unwatch := context.AfterFunc(ctx, func() { _ = conn.UnderlyingConn().Close() })
	err = v.enter(s, token)
	if !unwatch() && (err == nil || errors.Is(err, net.ErrClosed)) {
		err = context.Cause(ctx) // the connection was closed under us
	}
	if err != nil {
		s.close()
		return nil, v.failed(s, err)
	}
	return s, nil
}

// dial makes the WebSocket handshake (RFC 6455 section 4.1).
func (v *Viewer) dial(ctx context.Context) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		NetDialContext:   v.cfg.Dial,
		TLSClientConfig:  v.cfg.TLS.Clone(),
		HandshakeTimeout: connectLimit,
		Subprotocols:     []string{Subprotocol},
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  1 << 10,
	}
	header := http.Header{}
	if v.cfg.Origin != "" {
		header.Set("Origin", v.cfg.Origin)
	}
	conn, response, err := dialer.DialContext(ctx, v.cfg.URL, header)
	if response != nil {
		defer func() { _ = response.Body.Close() }()
	}
	if err != nil {
		if response == nil || !errors.Is(err, websocket.ErrBadHandshake) {
			return nil, err
		}
		refused := &RefusedError{Status: response.StatusCode, Reason: response.Status}
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			refused.Retry = time.Duration(seconds) * time.Second
		}
		v.event(record.Refused, "", "status", strconv.Itoa(refused.Status))
		return nil, refused
	}
	if conn.Subprotocol() != Subprotocol {
		_ = conn.Close()
		return nil, fmt.Errorf("server chose subprotocol %q, not %q", conn.Subprotocol(), Subprotocol)
	}
	// RFC 6455 section 4.1: what was not offered must not be agreed to, and the
	// library would begin to decompress.
	if extensions := response.Header.Values("Sec-WebSocket-Extensions"); len(extensions) > 0 {
		_ = conn.Close()
		return nil, fmt.Errorf("server chose the extension %.100q, and none was offered", extensions[0])
	}
	return conn, nil
}

// enter says hello, waits for welcome and subscribes.
func (v *Viewer) enter(s *session, token string) error {
	v.mu.Lock()
	for _, sub := range v.subs {
		sub.begin()
	}
	v.mu.Unlock()
	if err := s.send(helloMessage{Type: "hello", Token: v.tokens.add(token), Client: v.cfg.Name}); err != nil {
		return err
	}
	if err := v.readUntil(s, func() bool { return s.welcome }); err != nil {
		return err
	}
	v.mu.Lock()
	var subs []subMessage
	for _, sub := range v.subs {
		m := subMessage{Type: "sub", ID: sub.id, Filter: sub.filter, Mode: "all", Snapshot: v.cfg.Snapshot}
		if sub.resuming {
			m.Since = &sinceCursor{Epoch: sub.at.Epoch, Offset: sub.at.Offset}
		}
		subs = append(subs, m)
	}
	v.session = s
	v.mu.Unlock()
	for _, m := range subs {
		if err := s.send(m); err != nil {
			return err
		}
	}
	err := v.readUntil(s, func() bool { return s.refused != nil || v.Connected() })
	return errors.Join(err, s.refused)
}

// failed turns the end of a session that never got going into its reason.
func (v *Viewer) failed(s *session, err error) error {
	v.mu.Lock()
	v.session = nil
	v.mu.Unlock()
	code, reason, retry := closeOf(err)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return err
	case code != 0 && !s.welcome:
		v.event(record.Refused, reason, "code", strconv.Itoa(code))
	case s.welcome:
		v.noteDisconnect(code, reason, err)
	}
	if code != 0 {
		return &RefusedError{Code: code, Reason: v.tokens.hide(reason), Retry: max(retry, s.retry)}
	}
	return err
}

// readUntil handles frames until enough says so.
func (v *Viewer) readUntil(s *session, enough func() bool) error {
	for !enough() {
		if err := v.step(s); err != nil {
			return err
		}
	}
	return nil
}

// serve handles frames until the connection ends.
func (v *Viewer) serve(s *session) error {
	for {
		if err := v.step(s); err != nil {
			return err
		}
	}
}

// step reads one frame, stamps it and handles it.
func (v *Viewer) step(s *session) error {
	s.touch()
	kind, r, err := s.conn.NextReader()
	if err != nil {
		return err
	}
	if v.buf, err = s.readAll(v.buf[:0], r); err != nil {
		return err
	}
	at := v.clock.Now() // t4: read complete, nothing decoded yet
	v.handle(s, at, kind, v.buf)
	return nil
}

// readAll reads to the end of r into buf, which grows as needed. Each piece is
// a sign of life: a frame may take longer than silence is allowed to.
func (s *session) readAll(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		s.touch()
	}
}

// touch moves the deadline on: data is what shows that the peer lives.
func (s *session) touch() { _ = s.conn.SetReadDeadline(time.Now().Add(s.silence)) }

func (s *session) send(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(connectLimit))
	return s.conn.WriteMessage(websocket.TextMessage, data)
}

func (s *session) sayGoodbye() error {
	body := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	return s.conn.WriteControl(websocket.CloseMessage, body, time.Now().Add(time.Second))
}

// close drops the connection. It is idempotent.
func (s *session) close() {
	s.stop()
	_ = s.conn.Close()
}

// closeOf takes the close code and its reason out of a read error; code 0 means
// that there was no close frame.
func closeOf(err error) (code int, reason string, retry time.Duration) {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code == websocket.CloseAbnormalClosure {
		return 0, "", 0
	}
	var body struct {
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retry_ms"`
	}
	if json.Unmarshal([]byte(closed.Text), &body) != nil || body.Reason == "" {
		return closed.Code, closed.Text, 0
	}
	return closed.Code, body.Reason, time.Duration(body.RetryMS) * time.Millisecond
}

// disconnected writes the end of a session down. ended is true when the viewer
// is over; otherwise hint is how long the server asked to wait.
func (v *Viewer) disconnected(s *session, err error) (hint time.Duration, ended bool) {
	code, reason, retry := closeOf(err)
	v.mu.Lock()
	v.session = nil
	closing := v.closing
	v.mu.Unlock()
	if closing {
		reason = "closed by the viewer"
	}
	v.noteDisconnect(code, reason, err)
	if closing {
		return 0, true
	}
	if finalCode(code) || v.cfg.Reconnect.Off {
		if code != 0 {
			err = &RefusedError{Code: code, Reason: v.tokens.hide(reason)}
		}
		v.end(err)
		return 0, true
	}
	return min(max(retry, s.retry), time.Minute), false
}

func (v *Viewer) noteDisconnect(code int, reason string, err error) {
	fields := []string{"code", strconv.Itoa(code), "reason", reason}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		fields = append(fields, "error", "silence")
	case code == 0 && err != nil:
		fields = append(fields, "error", err.Error())
	}
	v.mu.Lock()
	v.counters.Disconnects++
	v.counters.LastClose = code
	v.mu.Unlock()
	v.event(record.Disconnected, "", fields...)
}

// event writes an event that is stamped now; pairs are field names and values,
// "" values are left out.
func (v *Viewer) event(kind record.EventKind, detail string, pairs ...string) {
	v.eventAt(v.clock.Now(), kind, detail, pairs...)
}

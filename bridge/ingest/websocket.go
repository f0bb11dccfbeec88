package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/bridge/audit"
	"plumbline/bridge/internal/upgrade"
)

// Subprotocol is what a WebSocket client must offer [MQTT-6.0.0-3].
const Subprotocol = "mqtt"

// maxHeaderBytes bounds a handshake.
const maxHeaderBytes = 16 << 10

// WebSocket makes a listener speak MQTT over WebSocket (MQTT 5 section 6).
type WebSocket struct {
	Path    string   // of the endpoint
	Origins []string // exact origins of the pages that may connect; without the header it is no page
}

type connKey struct{}

// server serves handshakes. What they become is run by door.run, out of its hands.
func (d *door) server(establish listeners.EstablishFn) *http.Server {
	buffers := &sync.Pool{}
	up := websocket.Upgrader{
		Subprotocols: []string{Subprotocol}, ReadBufferSize: 2048, WriteBufferSize: 2048, WriteBufferPool: buffers,
		CheckOrigin: func(*http.Request) bool { return true }, // checked before
	}
	mux := http.NewServeMux()
	mux.HandleFunc(d.opts.WebSocket.Path, func(w http.ResponseWriter, r *http.Request) { d.upgrade(&up, w, r, establish) })
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: d.b.opts.ConnectTimeout, IdleTimeout: d.b.opts.ConnectTimeout, MaxHeaderBytes: maxHeaderBytes,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 only
		ErrorLog:     slog.NewLogLogger(d.b.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			if t, ok := nc.(*tls.Conn); ok {
				nc = t.NetConn()
			}
			if p, ok := nc.(*pending); ok {
				ctx = context.WithValue(ctx, connKey{}, p)
			}
			return ctx
		},
	}
}

func (d *door) upgrade(up *websocket.Upgrader, w http.ResponseWriter, r *http.Request, establish listeners.EstablishFn) {
	p, ok := r.Context().Value(connKey{}).(*pending)
	if !ok {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	if status, reason := d.opts.WebSocket.refuse(r); status != 0 {
		d.b.m.MQTTRejected.WithLabelValues("websocket-" + reason).Inc()
		audit.Refused(d.b.log, audit.Event{Action: "mqtt handshake", Reason: reason, Remote: p.c.addr, Detail: d.ID()})
		upgrade.Answer(w, status, reason)
		return
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil { // answered by Upgrade
		d.b.m.MQTTRejected.WithLabelValues("websocket-upgrade").Inc()
		return
	}
	p.handOver()
	c := p.c
	ws.SetReadLimit(d.b.opts.MaxPacketBytes + 64<<10) // of one message, which may hold several packets
	c.Conn = &socket{ws: ws}
	c.lingers.Store(true)              // a WebSocket ends with an exchange
	_ = c.SetReadDeadline(c.connectBy) // net/http took it away
	go d.run(c, establish)
}

// refuse says why a handshake is not taken: an HTTP status and a reason; 0 when it is.
func (o *WebSocket) refuse(r *http.Request) (status int, reason string) {
	origins := r.Header["Origin"]
	switch {
	case len(origins) > 1 || len(origins) == 1 && !slices.Contains(o.Origins, origins[0]): // byte by byte (RFC 6455 section 10.2)
		return http.StatusForbidden, "origin"
	case r.URL.RawQuery != "":
		return http.StatusBadRequest, "query" // nothing is asked there, and secrets would be logged on the way
	}
	return upgrade.Refuse(r, func(name string) bool { return name == Subprotocol })
}

// entrance gives admitted connections to net/http.
type entrance struct{ d *door }

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	c, err := e.d.accept()
	if err != nil {
		return nil, err
	}
	p := &pending{Conn: c.raw, d: e.d, c: c}
	if e.d.opts.TLS == nil {
		return p, nil
	}
	return tls.Server(p, e.d.opts.TLS), nil
}

// Close implements net.Listener.
func (e *entrance) Close() error { return e.d.opts.Socket.Close() }

// Addr implements net.Listener.
func (e *entrance) Addr() net.Addr { return e.d.opts.Socket.Addr() }

// pending is a connection whose handshake is net/http's. It has until the deadline for CONNECT; net/http, which would set its
// own, may not move it.
type pending struct {
	net.Conn
	d *door
	c *conn

	mu     sync.Mutex
	passed bool // to door.run
	closed bool
}

// SetReadDeadline implements net.Conn: no later than CONNECT is due, until then.
func (p *pending) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	passed := p.passed
	p.mu.Unlock()
	if !passed && (t.IsZero() || t.After(p.c.connectBy)) {
		t = p.c.connectBy
	}
	return p.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (p *pending) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// handOver makes the connection door.run's.
func (p *pending) handOver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = true
}

// CloseWrite says that nothing more comes.
func (p *pending) CloseWrite() error {
	if t, ok := p.Conn.(*net.TCPConn); ok {
		return t.CloseWrite()
	}
	return nil
}

// Close implements net.Conn. A connection that never became MQTT is counted out here.
func (p *pending) Close() error {
	p.mu.Lock()
	last := !p.passed && !p.closed
	p.closed = true
	p.mu.Unlock()
	err := p.Conn.Close()
	if last {
		p.d.b.gate.release(p.c)
		p.d.wg.Done()
	}
	return err
}

// socket is the stream of MQTT packets in WebSocket messages, whose borders mean nothing [MQTT-6.0.0-2].
type socket struct {
	ws  *websocket.Conn
	cur io.Reader // of the message that is being read; nil between messages
}

// Read implements net.Conn. Empty messages are passed over.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if s.cur == nil {
			kind, r, err := s.ws.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
				s.say(websocket.CloseUnsupportedData, "MQTT is binary")
				return 0, errText
			}
			s.cur = r
		}
		n, err := s.cur.Read(p)
		if errors.Is(err, io.EOF) {
			s.cur, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn: one binary message. One goroutine at a time.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sayClose begins the closing handshake (RFC 6455 section 7.1.2).
func (s *socket) sayClose() { s.say(websocket.CloseNormalClosure, "") }

func (s *socket) say(code int, reason string) {
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(lingerTime))
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.sayClose()
	return s.ws.Close()
}

// LocalAddr implements net.Conn.
func (s *socket) LocalAddr() net.Addr { return s.ws.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return s.ws.RemoteAddr() }

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.ws.SetReadDeadline(t), s.ws.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error { return s.ws.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.ws.SetWriteDeadline(t) }

package ingest

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

var _ listeners.Listener = (*listener)(nil)

// listener accepts connections for the broker library in place of its own, which has no deadline before CONNECT (M9, D18),
// no limit per address and does not wait for its goroutines.
type listener struct {
	b     *Broker
	hurry atomic.Bool // going down: writes get little time

	mu       sync.Mutex
	closed   bool
	conns    map[*conn]struct{}
	perAddr  map[string]int
	serveEnd chan struct{} // closed when Serve returned; nil before Serve
	wg       sync.WaitGroup
}

func newListener(b *Broker) *listener {
	return &listener{b: b, conns: map[*conn]struct{}{}, perAddr: map[string]int{}}
}

// Init implements listeners.Listener.
func (l *listener) Init(*slog.Logger) error { return nil }

// ID implements listeners.Listener.
func (l *listener) ID() string { return "mqtt" }

// Address implements listeners.Listener.
func (l *listener) Address() string { return l.b.opts.Listener.Addr().String() }

// Protocol implements listeners.Listener.
func (l *listener) Protocol() string { return "tcp" }

// Serve implements listeners.Listener. It returns when the listener is closed.
func (l *listener) Serve(establish listeners.EstablishFn) {
	l.mu.Lock()
	end := make(chan struct{})
	l.serveEnd = end
	l.mu.Unlock()
	defer close(end)
	for {
		raw, err := l.b.opts.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: the bridge stays up and recovers
			l.b.log.Error("mqtt accept failed", "error", err)
			l.b.m.MQTTRejected.WithLabelValues("accept").Inc()
			select {
			case <-time.After(50 * time.Millisecond):
			case <-l.b.ctx.Done():
			}
			continue
		}
		c, reason := l.admit(raw)
		if reason != "" {
			l.b.m.MQTTRejected.WithLabelValues(reason).Inc()
			_ = raw.Close()
			continue
		}
		go l.run(c, establish)
	}
}

// admit registers a connection, or says why not.
func (l *listener) admit(raw net.Conn) (*conn, string) {
	addr, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		addr = raw.RemoteAddr().String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch limit := l.b.opts.MaxPerAddress; {
	case l.closed:
		return nil, "draining"
	case limit > 0 && l.perAddr[addr] >= limit:
		return nil, "address-limit"
	case len(l.conns) >= l.b.opts.MaxClients:
		return nil, "limit"
	}
	c := &conn{Conn: raw, raw: raw, l: l, addr: addr}
	c.keepalive.Store(waitingForConnect)
	_ = raw.SetReadDeadline(time.Now().Add(l.b.opts.ConnectTimeout)) // M9, D18: TLS handshake and CONNECT together
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
	if l.b.opts.TLS != nil {
		c.Conn = tls.Server(raw, l.b.opts.TLS)
	}
	l.conns[c] = struct{}{}
	l.perAddr[addr]++
	l.wg.Add(1)
	l.b.m.MQTTClients.Inc()
	return c, ""
}

func (l *listener) run(c *conn, establish listeners.EstablishFn) {
	defer l.wg.Done()
	err := establish(l.ID(), c)
	_ = c.Close()
	l.mu.Lock()
	delete(l.conns, c)
	if l.perAddr[c.addr]--; l.perAddr[c.addr] <= 0 {
		delete(l.perAddr, c.addr)
	}
	l.mu.Unlock()
	l.b.m.MQTTClients.Dec()
	if err != nil && c.keepalive.Load() == waitingForConnect {
		l.b.m.MQTTRejected.WithLabelValues("connect").Inc()
		l.b.log.Warn("mqtt connection refused", "remote", c.addr, "error", err)
	} else {
		l.b.log.Debug("mqtt connection ended", "remote", c.addr, "error", err)
	}
}

// stopAccepting closes the listening socket; connections go on.
func (l *listener) stopAccepting() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.b.opts.Listener.Close()
}

// Close implements listeners.Listener: clients are told, then cut. It returns when the goroutines of all connections have ended;
// the library's own wait group may not be waited for while connections still enter it. Its function that tells clients is not
// called: it locks the library's client list twice over (GetByListener, then Len) and never returns when a client leaves between.
func (l *listener) Close(listeners.CloseFn) {
	l.stopAccepting()
	for _, client := range l.b.server.Clients.GetAll() {
		if client.Net.Listener == l.ID() && !client.Closed() {
			_ = l.b.server.DisconnectClient(client, packets.ErrServerShuttingDown)
		}
	}
	l.cut()
	l.wait()
}

// cut closes the sockets of all connections, also under writes that wait.
func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.raw.Close()
	}
}

// wait returns when Serve and all connection goroutines have ended.
func (l *listener) wait() {
	l.mu.Lock()
	end := l.serveEnd
	l.mu.Unlock()
	if end != nil {
		<-end
	}
	l.wg.Wait()
}

// Special values of conn.keepalive.
const (
	waitingForConnect = -1
	noKeepalive       = 0
)

// conn is one MQTT connection. It sets its own deadlines: the library's share one for both directions, round the keepalive
// down (D21) and overflow above 43,690 s (M14).
type conn struct {
	net.Conn
	raw       net.Conn // the socket, under TLS or the same
	l         *listener
	addr      string
	keepalive atomic.Int64 // seconds, or one of the special values

	// Owned by the goroutine that reads the connection.
	refused bool   // nothing more is taken: a 3.1.1 client learns of a refusal only by the cut
	noteID  uint16 // packet id whose acknowledgement carries note
	note    string
}

// SetDeadline is called by the library before each packet: one and a half keepalives to read it [MQTT-3.1.2-22].
func (c *conn) SetDeadline(time.Time) error {
	switch k := c.keepalive.Load(); k {
	case waitingForConnect:
		return nil // the deadline of the accept stands
	case noKeepalive:
		return c.SetReadDeadline(time.Time{})
	default:
		return c.SetReadDeadline(time.Now().Add(time.Duration(k) * 3 * time.Second / 2))
	}
}

// Write gives a write its own deadline, so that a client that does not read cannot live for ever (M14).
func (c *conn) Write(p []byte) (int, error) {
	limit := c.l.b.opts.WriteTimeout
	if c.l.hurry.Load() {
		limit = 250 * time.Millisecond
	}
	if err := c.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err != nil { // part of a packet may be out: the stream cannot be mended
		_ = c.raw.Close()
	}
	return n, err
}

// Close ends the connection. TLS tries to write an alert first, for up to five seconds, which there is no time for at the end.
func (c *conn) Close() error {
	if c.l.hurry.Load() {
		return c.raw.Close()
	}
	return c.Conn.Close()
}

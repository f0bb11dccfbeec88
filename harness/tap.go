package harness

import (
	"context"
	"net"
	"sync"

	"plumbline/harness/fault"
)

// tapBuffer is the receive buffer of a tapped connection: so small that little
// fits between the server and a viewer that has stopped reading, yet more than the
// largest segment of a loopback, without which TCP would crawl for ever (RFC 9293
// section 3.8.6.2.2).
const tapBuffer = 128 << 10

// Tap sits on the connections of one viewer, below everything it speaks, and can
// make it stop reading without closing anything, as a page in the background or
// a stalled machine does. The zero value lets everything through. Its methods may
// be called by any goroutine.
type Tap struct {
	mu   sync.Mutex
	gate chan struct{} // while held: closed when data may pass again
}

// Dial makes a connection with the tap on it. It fits viewer.Config.Dial.
func (t *Tap) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(tapBuffer) // a wish: without it there is only more to fill
	}
	return &tapped{Conn: conn, tap: t, closed: make(chan struct{})}, nil
}

// Stall returns the fault of a viewer that does not read. What the kernel has
// taken already is read when the fault is reverted.
func (t *Tap) Stall() fault.Fault { return stall{t} }

// hold closes the gate or opens it.
func (t *Tap) hold(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case on && t.gate == nil:
		t.gate = make(chan struct{})
	case !on && t.gate != nil:
		close(t.gate)
		t.gate = nil
	}
}

// pass waits at the gate; false means that closed was closed meanwhile.
func (t *Tap) pass(closed <-chan struct{}) bool {
	for {
		t.mu.Lock()
		gate := t.gate
		t.mu.Unlock()
		if gate == nil {
			return true
		}
		select {
		case <-gate:
		case <-closed:
			return false
		}
	}
}

// tapped is one connection with a tap on it.
type tapped struct {
	net.Conn
	tap    *Tap
	once   sync.Once
	closed chan struct{}
}

// Read implements net.Conn. Deadlines do not end the wait at the gate.
func (c *tapped) Read(p []byte) (int, error) {
	if !c.tap.pass(c.closed) {
		return 0, net.ErrClosed
	}
	return c.Conn.Read(p)
}

// Close implements net.Conn.
func (c *tapped) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// stall is the fault of a tap.
type stall struct{ tap *Tap }

var _ fault.Fault = stall{}

// Name implements fault.Fault.
func (stall) Name() string { return "viewer that does not read" }

// Inject implements fault.Fault.
func (s stall) Inject(context.Context) error { s.tap.hold(true); return nil }

// Revert implements fault.Fault.
func (s stall) Revert(context.Context) error { s.tap.hold(false); return nil }

// DialAborting makes a connection whose Close sends RST in place of FIN (RFC
// 9293 section 3.5.2), as a machine that lost its power and came back does. It
// fits viewer.Config.Dial.
func DialAborting(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		err = tcp.SetLinger(0)
	}
	return conn, err
}

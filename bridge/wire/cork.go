package wire

import (
	"errors"
	"net"
	"slices"
	"sync"

	"plumbline/bridge/internal/attempt"
)

// Corked makes the connections of l such that a viewer under TLS can be written to without waiting for it: TLS goes over what this
// returns. What TLS writes for one turn gathers, goes out with one system call as far as the socket takes it, and only what is left waits.
// Without it each record is a system call of its own, and a goroutine has to wait for each viewer.
func Corked(l net.Listener) net.Listener { return corker{l} }

type corker struct{ net.Listener }

// Accept implements net.Listener.
func (l corker) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &corked{Conn: conn}, nil
}

// corked is a connection under TLS on which nobody who writes ever waits, once it is a viewer's: TLS holds a lock while it writes, and
// who waits for a viewer with that lock would make the shared writers wait. Records come whole and in their order, for TLS writes one
// at a time; the writer's and those by which the reader's side answers, such as a new key's or an alert, may take turns.
type corked struct {
	net.Conn
	mu    sync.Mutex
	quick *attempt.Attempt // nil until it is a viewer's: what is written waits then, as always
	holds bool             // somebody gathers what is written, or writes what was held
	held  []byte           // not written yet; it goes before anything else
}

// mostHeld bounds what is held for one viewer. A turn fits, and the few records that the reader's side may add.
const mostHeld = 2 * sendBytes

var errHeld = errors.New("wire: too much is held back")

// NetConn returns the connection below, as [crypto/tls.Conn] does.
func (c *corked) NetConn() net.Conn { return c.Conn }

// arm makes it a viewer's.
func (c *corked) arm(quick *attempt.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quick = quick
}

// Write implements net.Conn. What the socket does not take at once is held: it goes with the next turn, by send, or at the end.
func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.quick == nil {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	defer c.mu.Unlock()
	n := 0
	if !c.holds && len(c.held) == 0 {
		var err error
		if n, err = c.quick.Write(p); err != nil {
			return n, err
		}
	}
	if len(c.held)+len(p)-n > mostHeld {
		return n, errHeld
	}
	c.held = append(c.held, p[n:]...)
	return len(p), nil
}

// hold has what is written from now on gather, in buf at first, which must not be used until release.
func (c *corked) hold(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds, c.held = true, append(buf[:0], c.held...)
}

// release writes what is held as far as the socket takes it at once, and reports whether that was all. If not, the rest is still
// held, and so is what follows, until take has given it all. buf is the memory in which it was held.
func (c *corked) release() (buf []byte, whole bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf = c.held
	n, err := c.quick.Write(buf)
	if err == nil && n < len(buf) {
		c.held = slices.Clone(buf[n:]) // thousands of stalled viewers must not hold a buffer each
		return buf, false, nil
	}
	c.held, c.holds = nil, false
	return buf, true, err
}

// take returns the next of what is held, most bytes of it at most, which the caller writes before it asks again. Once it has returned
// nothing, nothing is held any more. A nil connection holds nothing.
func (c *corked) take(most int) []byte {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.held), most)
	if c.holds = n > 0; !c.holds {
		c.held = nil
		return nil
	}
	p := c.held[:n:n]
	c.held = c.held[n:]
	return p
}

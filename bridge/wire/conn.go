package wire

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/bridge/internal/attempt"
	"plumbline/bridge/internal/peer"
)

// viewerConn stands between a viewer's connection and gorilla/websocket. Reading: every byte is a sign of life, and the
// guard watches the frames. Writing: after the handshake only send writes; the close frames that gorilla would write from its
// reader are kept back and remembered, so that there is one writer and every close has our reason.
type viewerConn struct {
	net.Conn
	deflate      bool // permessage-deflate was negotiated
	clock        *clock
	seen         atomic.Int64 // the last sign of life, a time of clock
	asked        atomic.Int64 // when the first ping since then was out; one that is not after seen counts for nothing
	writeTimeout time.Duration

	// Owned by the reading goroutine.
	n        int   // of the last read
	err      error // of the last read
	guard    guard
	guardErr error
	heldCode CloseCode // of the close frame kept back from gorilla, 0 = none

	held     atomic.Int32 // writes under way and messages being handled: the viewer may be waiting for us, or is yet to be heard
	upgraded atomic.Bool
	closing  atomic.Bool // the read deadline is fixed now

	writeMu sync.Mutex
	quick   *attempt.Attempt // nil where writing cannot be tried
	cork    *corked          // under TLS; nil without, and where writing cannot be tried
	broken  error            // first write error: part of a frame may be out, nothing more may follow
}

// hijack lets gorilla take over wrapped connections.
type hijack struct {
	http.ResponseWriter
	wrap func(net.Conn) net.Conn
}

// Hijack implements http.Hijacker.
func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hj, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("wire: the HTTP server does not allow taking over connections")
	}
	c, rw, err := hj.Hijack()
	if err != nil {
		return nil, nil, err
	}
	return h.wrap(c), rw, nil
}

// take makes c the viewer's connection.
func (c *viewerConn) take(conn net.Conn) {
	c.Conn = conn
	t, sealed := conn.(*tls.Conn)
	if !sealed {
		c.quick = attempt.New(conn)
	} else if cork, ok := t.NetConn().(*corked); ok {
		if c.quick = attempt.New(cork); c.quick != nil {
			c.cork = cork
			cork.arm(c.quick)
		}
	}
	if tcp, ok := peer.TCP(c.socket()); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // where it fails the system's choice holds
	}
}

// Read implements net.Conn. What it holds while it waits is part of what an idle viewer costs; see session.reader.
func (c *viewerConn) Read(p []byte) (int, error) {
	if c.guardErr != nil {
		return 0, c.guardErr
	}
	c.n, c.err = c.Conn.Read(p)
	return c.took(p)
}

// took looks at what was read into p.
func (c *viewerConn) took(p []byte) (int, error) {
	n, err := c.n, c.err
	if n == 0 || !c.upgraded.Load() {
		return n, err
	}
	c.alive()
	good, gerr := c.guard.feed(p[:n])
	if gerr != nil {
		c.guardErr = gerr
		if good == 0 {
			return 0, gerr
		}
		return good, nil
	}
	return n, err
}

// alive notes a sign of life. The clock finds out who gave none for long: a deadline moved at every read would cost more.
func (c *viewerConn) alive() { c.seen.Store(int64(c.clock.now())) }

// pinged notes that a ping went out.
func (c *viewerConn) pinged() {
	if c.asked.Load() <= c.seen.Load() {
		c.asked.Store(int64(c.clock.now()))
	}
}

// SetReadDeadline does nothing: Read and beginClose own it.
func (c *viewerConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: Write and send own it.
func (c *viewerConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline clears both deadlines that the HTTP server has set.
func (c *viewerConn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(t) } // not the two above

// Write is called by gorilla only. Before the upgrade it writes the answer of the handshake; after it, it takes the close
// frame that follows a protocol error and sends nothing.
func (c *viewerConn) Write(p []byte) (int, error) {
	if !c.upgraded.Load() {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return 0, err
		}
		return c.Conn.Write(p)
	}
	if len(p) >= 4 && p[0] == frameClose {
		c.heldCode = CloseCode(binary.BigEndian.Uint16(p[2:]))
	}
	return len(p), nil
}

// waited is how long a write takes that found the send buffer full, at least. It then ended because the peer acknowledged
// bytes, which a dead one does not. A quicker write proves nothing: it filled the buffer.
const waited = 20 * time.Millisecond

// sendBuffer bounds what the system keeps for a viewer that reads slowly. Its own choice grows to megabytes: memory of
// thousands of viewers, and minutes that a ping stands in line.
const sendBuffer = 256 << 10

// try writes what the system takes of whole frames without waiting, nothing once the connection is about to end. n says how much of p
// is done with; what is left must go by send before anything else, and so must what is whole no more: it waits in the cork.
// Errors are as with send.
func (c *viewerConn) try(p []byte) (n int, whole bool, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	switch {
	case c.broken != nil:
		return 0, false, c.broken
	case c.closing.Load():
		return 0, false, nil // the end has a deadline, which send keeps
	case c.cork != nil && len(p) > sendBytes:
		return 0, false, nil // a large reading: sealed, it would be in memory once more
	case c.cork != nil:
		n, whole, err = c.trySealed(p)
	default:
		n, err = c.quick.Write(p)
		whole = n == len(p)
	}
	c.broken = err
	return n, whole, err
}

// trySealed is try under TLS.
func (c *viewerConn) trySealed(p []byte) (n int, whole bool, err error) {
	pooled := writeBuffers.Get().(*[]byte)
	c.cork.hold(*pooled)
	if _, err = c.Conn.Write(p); err != nil {
		return 0, false, err // the connection is over: the buffer goes with it
	}
	*pooled, whole, err = c.cork.release()
	if cap(*pooled) <= keepBytes {
		writeBuffers.Put(pooled)
	}
	return len(p), whole, err
}

// sendBytes is what a viewer has to take within one write timeout at most. What the writer gathers at a time fits; only a single
// larger reading does not.
const sendBytes = 2 * writeBytes

// sendTimeouts is how many write timeouts one send may take in all: what it writes is the viewer's own copy, of 16 MiB at worst, which
// may not be held for as long as a viewer pleases.
const sendTimeouts = 4

// send writes what the cork holds, then whole frames and nothing else. After an error every later send fails, and the caller must
// cut the connection.
func (c *viewerConn) send(p []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.held.Add(1)
	defer c.held.Add(-1)
	end := time.Now().Add(sendTimeouts * c.writeTimeout)
	first := true
	out := func(to io.Writer, part []byte) {
		if first || !c.closing.Load() { // what is under way when the end begins has the end's deadline
			c.broken = c.limitWrite(end)
		}
		if first = false; c.broken == nil {
			c.broken = c.sendPart(to, part)
		}
	}
	drain := func() {
		for part := c.cork.take(sendBytes); part != nil && c.broken == nil; part = c.cork.take(sendBytes) {
			out(c.cork.Conn, part)
		}
	}
	drain()
	for len(p) > 0 && c.broken == nil {
		n := min(len(p), sendBytes)
		if c.cork == nil {
			out(c.Conn, p[:n])
		} else if _, c.broken = c.Conn.Write(p[:n]); c.broken == nil { // sealed, into the cork
			drain()
		}
		p = p[n:]
	}
	if c.broken == nil && c.quick != nil {
		c.broken = c.Conn.SetWriteDeadline(time.Time{}) // try has none; at the end send sets its own
	}
	return c.broken
}

// limitWrite sets the deadline of the next write, which is never after end.
func (c *viewerConn) limitWrite(end time.Time) error {
	limit := min(c.writeTimeout, time.Until(end))
	if c.closing.Load() {
		limit = min(limit, closeWait)
	}
	start := time.Now()
	err := c.Conn.SetWriteDeadline(start.Add(limit))
	if err == nil && limit > closeWait && c.closing.Load() { // beginClose came between: its deadline counts
		err = c.Conn.SetWriteDeadline(start.Add(closeWait))
	}
	return err
}

// sendPart is one write. That it had to wait and went out is a sign of life: the viewer's pong may stand behind much that it has
// yet to read.
func (c *viewerConn) sendPart(to io.Writer, p []byte) error {
	start := time.Now()
	_, err := to.Write(p)
	if err == nil && time.Since(start) >= waited {
		c.alive()
	}
	return err
}

// line is what the system knows of the bytes on their way to a viewer. The zero value knows nothing.
type line struct {
	arrived uint64 // bytes that the viewer's system has acknowledged
	waiting int    // bytes written that it has not
}

// line looks at the connection's.
func (c *viewerConn) line() line { return lineOf(c.socket()) }

// socket returns the connection under TLS, or the same.
func (c *viewerConn) socket() net.Conn {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.Conn
}

// cut closes the socket itself. Closing a TLS connection would first try to write an alert, for five seconds when the peer does
// not read.
func (c *viewerConn) cut() {
	_ = c.socket().Close()
}

// part closes the connection: in order when all that was written went out, else at once.
func (c *viewerConn) part() {
	c.writeMu.Lock()
	whole := c.broken == nil
	c.writeMu.Unlock()
	if whole {
		c.endWrites()
	}
	c.cut()
}

// endWrites tells the peer that nothing more comes, by TLS and TCP. TLS would wait five seconds for a peer that does not read.
func (c *viewerConn) endWrites() bool {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return false
	}
	limit := time.AfterFunc(closeWait, c.cut)
	defer limit.Stop()
	if c.cork == nil {
		return half.CloseWrite() == nil
	}
	c.writeMu.Lock() // the alert stands behind what is under way
	defer c.writeMu.Unlock()
	err := half.CloseWrite()
	if err == nil {
		err = c.Conn.SetWriteDeadline(time.Now().Add(closeWait)) // TLS has let the one for writing pass
	}
	for part := c.cork.take(sendBytes); part != nil && err == nil; part = c.cork.take(sendBytes) {
		_, err = c.cork.Conn.Write(part)
	}
	return err == nil
}

// closeWait is how long the bridge waits for the peer's half of the closing handshake (RFC 6455 section 7.1.1).
const closeWait = time.Second

// beginClose fixes the deadlines: reading, and a write that is under way, end within closeWait.
func (c *viewerConn) beginClose() {
	c.closing.Store(true)
	end := time.Now().Add(closeWait)
	_ = c.Conn.SetReadDeadline(end)
	_ = c.Conn.SetWriteDeadline(end)
}

// linger ends our half of the stream and reads what still comes until the peer ends its own, so that a reset does not
// overtake the close frame. It is bounded by beginClose and by the amount.
func (c *viewerConn) linger() {
	if c.endWrites() {
		_, _ = io.CopyN(io.Discard, c.Conn, 1<<20)
	}
}

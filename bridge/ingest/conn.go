package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/internal/attempt"
)

// Special values of conn.keepalive.
const (
	waitingForConnect = -1
	noKeepalive       = 0
)

// How a connection ends that was told why: its peer gets time to read it. A socket closed under bytes that nobody read is reset,
// and the peer's system may throw away what it has not handed over (D14).
const (
	lingerTime  = 200 * time.Millisecond
	lingerBytes = 1 << 20
)

// conn is one MQTT connection. It sets its own deadlines: the library's share one for both directions, round the keepalive
// down (D21) and overflow above 43,690 s (M14).
type conn struct {
	net.Conn           // the stream of MQTT packets: raw, TLS over it, or WebSocket over either
	raw       net.Conn // the socket
	gate      *gate
	addr      string
	connectBy time.Time
	keepalive atomic.Int64 // seconds, or one of the special values
	lingers   atomic.Bool
	closing   atomic.Bool
	hurry     atomic.Bool     // writes get little time
	accepted  atomic.Bool     // its CONNACK lets it in; that may not be written yet
	gone      chan struct{}   // closed when the reader has returned and the session has no part in the connection any more
	ctx       context.Context // of what it stores
	cancel    context.CancelFunc

	client  *mqtt.Client // this and the next are set when the session is attached
	session *session
	number  uint64 // of the connection among those of the cluster; 0 = none

	// Owned by the goroutine that reads the connection.
	userMark  string // what Users knew of its user when it came
	present   bool   // it found a session
	refused   bool   // nothing more is taken: a 3.1.1 client learns of a refusal only by the cut
	answered  bool   // CONNACK has been sent
	recorded  bool   // why it may not connect is in the audit
	emptyWill bool
	farewell  bool // it sent DISCONNECT 0x00, which takes its will back
	lastByte  byte // read last
	strict    strict
	malformed bool

	said atomic.Int64 // unix second of its last event in the audit

	writing sync.Mutex
	wrote   bool // something, and CONNACK is the first; this and the following are guarded by writing
	mute    bool // nothing is written any more
	quick   *attempt.Attempt
}

// mayRecord reports whether the audit takes another event of what the client is denied: one a second, so that a device that
// publishes where it may not does not fill the disk. The metrics count all.
func (c *conn) mayRecord() bool {
	now := time.Now().Unix()
	return c.said.Swap(now) != now
}

// SetDeadline is called by the library before each packet: one and a half keepalives to read it [MQTT-3.1.2-22].
func (c *conn) SetDeadline(time.Time) error {
	if c.closing.Load() {
		return net.ErrClosed
	}
	switch k := c.keepalive.Load(); k {
	case waitingForConnect:
		return nil // the deadline of the accept stands
	case noKeepalive:
		return c.SetReadDeadline(time.Time{})
	default:
		return c.SetReadDeadline(time.Now().Add(time.Duration(k) * 3 * time.Second / 2))
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.closing.Load() {
		return 0, net.ErrClosed
	}
	if c.malformed {
		return 0, errMalformed
	}
	n, err := c.Conn.Read(p)
	if good, bad := c.strict.scan(p[:n]); bad != nil {
		c.malformed = true
		if n, err = good, nil; good == 0 {
			err = errMalformed
		}
	}
	if n > 0 {
		c.lastByte = p[n-1]
	}
	return n, err
}

// Write implements net.Conn: of whole packets. DISCONNECT is the last [MQTT-3.14.4-1].
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.send(p)
}

// send is Write. The caller holds writing.
func (c *conn) send(p []byte) (int, error) {
	if c.mute {
		return 0, net.ErrClosed
	}
	c.mute = len(p) > 0 && p[0]>>4 == packets.Disconnect
	n, err := c.now(p)
	if err != nil || n == len(p) {
		return n, err
	}
	more, err := c.write(p[n:])
	return n + more, err
}

// offer writes packets as far as nobody has to be waited for. Else it returns what writes the rest, and waits; nobody else may write
// before it was called.
func (c *conn) offer(p []byte) (finish func()) {
	if !c.writing.TryLock() {
		return func() { _, _ = c.Write(p) }
	}
	n, err := len(p), error(nil)
	if !c.mute {
		n, err = c.now(p)
	}
	if err != nil || n == len(p) {
		c.writing.Unlock()
		return nil
	}
	return func() {
		defer c.writing.Unlock()
		_, _ = c.write(p[n:])
	}
}

// now writes what the system takes of p without waiting for the client, which is nothing of what has to be sealed or framed first. The caller holds writing.
func (c *conn) now(p []byte) (n int, err error) {
	if c.quick == nil || c.Conn != c.raw {
		return 0, nil
	}
	c.wrote = true
	if n, err = c.quick.Write(p); err != nil {
		_ = c.raw.Close()
	}
	return n, err
}

// write gives a write its own deadline, so that a client that does not read cannot live for ever (M14).
func (c *conn) write(p []byte) (int, error) {
	hurries := func() bool { return c.hurry.Load() || c.gate.hurry.Load() }
	limit := c.gate.b.opts.WriteTimeout
	if hurries() {
		limit = lingerTime
	}
	if err := c.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	if limit > lingerTime && hurries() { // since just now: the deadline that end set is replaced
		if err := c.SetWriteDeadline(time.Now().Add(lingerTime)); err != nil {
			return 0, err
		}
	}
	c.wrote = true
	n, err := c.Conn.Write(p)
	if err != nil { // part of a packet may be out: the stream cannot be mended
		_ = c.raw.Close()
	}
	return n, err
}

// Close ends the connection for its users: nothing is read any more, and the peer sees the end after what was written. The
// socket goes with finish, when the reader has returned.
func (c *conn) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	if c.gate.hurry.Load() || !c.lingers.Load() {
		if c.gate.hurry.Load() { // TLS tries to write an alert first, for up to five seconds
			return c.raw.Close()
		}
		return c.Conn.Close()
	}
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
	c.closeWrite()
	return c.raw.SetReadDeadline(time.Now()) // the reader ends; finish reads what is left
}

// takeOver ends a connection whose session has another one now [MQTT-3.1.4-3], and returns when it has no part in it any more:
// what it is storing is stored, its will is settled. It waits for the journal, and not for a client that does not read. In a cluster
// it waits for so long only: what Redis has been asked to store when it went away is in doubt until it is back, and comes into the log
// then before anything that the new connection says.
func (c *conn) takeOver() {
	c.end(packets.ErrSessionTakenOver)
	if c.gate.b.opts.Cluster != nil {
		select {
		case <-c.gone:
		case <-time.After(doubtTime):
			c.cancel()
		}
	}
	<-c.gone
}

// doubtTime is how long a client waits for what its connection before this one stores in a cluster. A command to Redis takes as long
// at most.
const doubtTime = 3 * time.Second

// end closes a connection that has a session, and tells the client why if it reads and has its CONNACK [MQTT-3.14.0-1].
func (c *conn) end(why packets.Code) {
	c.hurry.Store(true)
	_ = c.raw.SetWriteDeadline(time.Now().Add(lingerTime)) // of a write that waits
	switch {
	case c.client.Closed():
	case c.welcomed():
		_ = c.gate.b.server.DisconnectClient(c.client, why)
	default:
		c.client.Stop(why)
	}
}

// welcomed reports whether CONNACK is on its way to the client. If it is not, it will not be: the session that it speaks of has gone.
func (c *conn) welcomed() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	is := c.wrote && c.accepted.Load()
	c.mute = c.mute || !is
	return is
}

// endAll ends connections side by side: some may not read.
func endAll(conns []*conn, why packets.Code) {
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(func() { c.end(why) })
	}
	all.Wait()
}

// closeWrite says that nothing more comes, layer by layer.
func (c *conn) closeWrite() {
	type half interface{ CloseWrite() error }
	switch s := c.Conn.(type) {
	case *socket:
		s.sayClose()
	case half:
		_ = s.CloseWrite()
	}
	if h, ok := c.raw.(half); ok {
		_ = h.CloseWrite()
	}
}

// finish closes the socket. A connection that was told why it ends is read out first, for a moment.
func (c *conn) finish() {
	_ = c.Close()
	if c.lingers.Load() && !c.gate.hurry.Load() {
		_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.raw, lingerBytes)
	}
	_ = c.raw.Close()
}

// peer returns the certificate that the client showed and that was found good, nil when there is none.
func (c *conn) peer() *x509.Certificate {
	if c == nil {
		return nil
	}
	inner := c.Conn
	if s, ok := inner.(*socket); ok {
		inner = s.ws.NetConn()
	}
	t, ok := inner.(*tls.Conn)
	if !ok {
		return nil
	}
	if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

var errText = errors.New("ingest: text frame: MQTT is binary (MQTT 5 section 6)")

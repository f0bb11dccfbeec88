package fault

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lastWords is how long the peers of a connection that was cut by FIN may take
// to close their side.
const lastWords = time.Second

// link is one connection through a Proxy.
type link struct {
	number   uint64
	done     chan struct{} // closed when the link is over
	dropping atomic.Bool   // what still comes is thrown away
	half     atomic.Bool   // one leg is gone and the other must not know

	mu     sync.Mutex // guards what follows
	client net.Conn
	server net.Conn // nil until the second leg is up
	closed bool
}

// secure puts TLS in the place of the leg to the client.
func (k *link) secure(client net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.client = client
}

// halve lets one end vanish without the other one hearing of it: its leg is
// reset, the other stays open, swallows what it gets and says nothing. It
// reports whether there was a whole connection to halve.
func (k *link) halve(gone Direction) bool {
	k.mu.Lock()
	leg := k.client
	if gone == Upstream {
		leg = k.server
	}
	whole := !k.closed && k.server != nil && !k.half.Load()
	k.mu.Unlock()
	if !whole {
		return false
	}
	k.half.Store(true)
	k.dropping.Store(true)
	reset(leg)
	return true
}

// lost is what follows from a leg that broke.
func (k *link) lost() {
	if !k.half.Load() {
		k.close(true)
	}
}

// connect adds the second leg; false means that the link is over already.
func (k *link) connect(server net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		_ = server.Close()
		return false
	}
	k.server = server
	return true
}

// cut ends the connection as seen by both peers.
func (k *link) cut(rst bool) {
	k.mu.Lock()
	client, server := k.client, k.server
	k.mu.Unlock()
	if rst || server == nil {
		k.close(rst)
		return
	}
	// A close with unread data would send RST: send FIN, throw away what
	// still comes, and close when the peers have done so or time is over.
	k.dropping.Store(true)
	for _, c := range []net.Conn{client, server} {
		closeWrite(c)
		_ = c.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// close ends both legs at once. It is idempotent.
func (k *link) close(rst bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	close(k.done)
	for _, c := range []net.Conn{k.client, k.server} {
		switch {
		case c == nil:
		case rst:
			reset(c)
		default:
			_ = c.Close()
		}
	}
}

// reset closes with RST in place of FIN, under TLS as well.
func reset(c net.Conn) {
	under := c
	if secured, ok := c.(*tls.Conn); ok {
		under = secured.NetConn() // its Close would say good-bye first
	}
	if tcp, ok := under.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = under.Close()
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

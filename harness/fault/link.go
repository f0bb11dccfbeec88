package fault

import (
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
	client   net.Conn
	done     chan struct{} // closed when the link is over
	dropping atomic.Bool   // what still comes is thrown away

	mu     sync.Mutex // guards what follows
	server net.Conn   // nil until the second leg is up
	closed bool
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
	server := k.server
	k.mu.Unlock()
	if rst || server == nil {
		k.close(rst)
		return
	}
	// A close with unread data would send RST: send FIN, throw away what
	// still comes, and close when the peers have done so or time is over.
	k.dropping.Store(true)
	for _, c := range []net.Conn{k.client, server} {
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

// reset closes with RST in place of FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func closeWrite(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

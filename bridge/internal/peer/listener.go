package peer

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// ListenOptions configures Proxies.Listen. All are required.
type ListenOptions struct {
	Timeout time.Duration // for a header, from accept
	Most    int           // connections whose headers are awaited, or that wait for Accept behind them, at a time
	// Refused is told why a proxy's connection is closed, on a goroutine of the listener; not of one that ended without a byte, as
	// balancers do that look whether the port is open.
	Refused func(proxy string, err error)
}

// errCrowd says that too many connections wait for their headers.
var errCrowd = errors.New("too many connections of proxies at once wait for their PROXY protocol header, or behind it")

// Listen gives out the connections of l. Each that comes from a proxy must begin with a PROXY protocol header, and its RemoteAddr is
// whom that names; those of anybody else have none, so that one that they send is no more than bad bytes to who serves them. A
// connection waits for its header apart from the others, before it is accepted: nothing that a proxy does holds up another one.
// Close ends the waiting ones.
func (p Proxies) Listen(l net.Listener, o ListenOptions) net.Listener {
	out := &listener{Listener: l, proxies: p, o: o, places: make(chan struct{}, o.Most), ready: make(chan accepted), done: make(chan struct{}), waiting: map[net.Conn]struct{}{}}
	out.all.Go(out.run)
	return out
}

type listener struct {
	net.Listener
	proxies Proxies
	o       ListenOptions
	places  chan struct{} // one for each header that is awaited
	ready   chan accepted
	done    chan struct{}
	all     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	waiting map[net.Conn]struct{}
}

// accepted is an answer to Accept.
type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when nothing of the listener goes on.
func (l *listener) Close() error {
	l.mu.Lock()
	first := !l.closed
	if l.closed = true; first {
		close(l.done)
	}
	for conn := range l.waiting {
		_ = conn.Close()
	}
	l.mu.Unlock()
	err := l.Listener.Close()
	l.all.Wait()
	return err
}

func (l *listener) run() {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			if !l.give(nil, err) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if !l.proxies.Has(conn.RemoteAddr().String()) {
			l.give(conn, nil)
			continue
		}
		select {
		case l.places <- struct{}{}:
			l.all.Go(func() {
				defer func() { <-l.places }()
				l.greet(conn)
			})
		default:
			_ = conn.Close()
			l.o.Refused(conn.RemoteAddr().String(), errCrowd)
		}
	}
}

// greet reads a proxy's header and gives its connection out.
func (l *listener) greet(conn net.Conn) {
	if !l.wait(conn) {
		return
	}
	err := conn.SetReadDeadline(time.Now().Add(l.o.Timeout))
	if err == nil {
		conn, err = introduce(conn)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	closed := l.waited(conn)
	if err == nil {
		l.give(conn, nil)
		return
	}
	_ = conn.Close()
	if !closed && !errors.Is(err, io.EOF) {
		l.o.Refused(conn.RemoteAddr().String(), err)
	}
}

// introduce reads the header and returns the connection under the name that it gives.
func introduce(conn net.Conn) (net.Conn, error) {
	from, err := readHeader(conn)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil && from.IsValid() {
		return &named{tcp, net.TCPAddrFromAddrPort(from)}, nil
	}
	return conn, err
}

// wait notes a connection that Close has to end, or ends it when Close was called before.
func (l *listener) wait(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return false
	}
	l.waiting[conn] = struct{}{}
	return true
}

// waited forgets a connection that waits no more, and reports whether Close has ended it.
func (l *listener) waited(conn net.Conn) (closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := conn.(*named); ok {
		conn = n.TCPConn
	}
	delete(l.waiting, conn)
	return l.closed
}

// give answers an Accept; false when there will be no more of them.
func (l *listener) give(conn net.Conn, err error) bool {
	select {
	case l.ready <- accepted{conn, err}:
		return true
	case <-l.done:
		if conn != nil {
			_ = conn.Close()
		}
		return false
	}
}

// named is a TCP connection whose other end a proxy has named.
type named struct {
	*net.TCPConn
	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c *named) RemoteAddr() net.Addr { return c.from }

// TCP returns the TCP connection that conn is, whoever is said to be at its other end.
// Connections above others, which say so by NetConn as TLS does, are looked through.
func TCP(conn net.Conn) (*net.TCPConn, bool) {
	for above, ok := conn.(interface{ NetConn() net.Conn }); ok; above, ok = conn.(interface{ NetConn() net.Conn }) {
		conn = above.NetConn()
	}
	if n, ok := conn.(*named); ok {
		return n.TCPConn, true
	}
	tcp, ok := conn.(*net.TCPConn)
	return tcp, ok
}

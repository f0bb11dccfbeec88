package relay

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
)

// path is a TCP path that can be cut so that neither end learns of it: bytes vanish, and connections stay open.
type path struct {
	to    string
	cut   atomic.Bool
	tasks sync.WaitGroup
	mu    sync.Mutex
	open  []*pair
}

// pair is one connection on both sides of the path.
type pair struct {
	near, far net.Conn
	dead      atomic.Bool // it was there while the path was cut
}

// newPath returns a path to an address, and its own.
func newPath(tb testing.TB, to string) (p *path, addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p = &path{to: to}
	p.tasks.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // closed
			}
			p.carry(near)
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, one := range p.open {
			one.end()
		}
		p.mu.Unlock()
		p.tasks.Wait()
	})
	return p, l.Addr().String()
}

func (p *path) carry(near net.Conn) {
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = near.Close()
		return
	}
	one := &pair{near: near, far: far}
	one.dead.Store(p.cut.Load())
	p.mu.Lock()
	p.open = append(p.open, one)
	p.mu.Unlock()
	p.tasks.Go(func() { one.copy(far, near) })
	p.tasks.Go(func() { one.copy(near, far) })
}

func (c *pair) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && !c.dead.Load() {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			if !c.dead.Load() {
				c.end()
			}
			return
		}
	}
}

func (c *pair) end() { _, _ = c.near.Close(), c.far.Close() }

// set cuts the path, or lets new connections through again.
func (p *path) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut.Store(cut)
	for _, one := range p.open {
		one.dead.Store(true)
	}
}

// TestPartition: nothing passes between one node and Redis, in either direction, and no connection ends. The other goes on; the one
// that is cut off refuses, and has everything soon after the path is there again, in the same epoch.
func TestPartition(t *testing.T) {
	redis := redistest.New(t)
	way, addr := newPath(t, redis.Addr)
	far := options(redis, "b")
	far.URL = "redis://" + addr + "/0"
	a, b := newNode(t, options(redis, "a")), newNode(t, far)
	epoch := a.journal.Epoch()
	at, cutOff := publish(t, "x", a.Log), publish(t, "y", b.Log)
	at.await(50)
	cutOff.await(50)
	way.set(true)
	b.alarmed()
	refused := cutOff.again.Load()
	eventually.Must(t, "the one that is cut off to refuse", func() bool { return cutOff.again.Load() > refused })
	at.await(100)
	eventually.Must(t, "the other to miss it", func() bool { return a.Stats().Nodes == 1 })
	way.set(false)
	began := time.Now()
	cutOff.await(2)
	t.Logf("stored again %s after the path was back", time.Since(began).Round(10*time.Millisecond))
	at.await(50)
	same(t, []*node{a, b}, at, cutOff)
	for _, n := range []*node{a, b} {
		if s := n.Stats(); n.journal.Epoch() != epoch || n.renewed.Load() > 0 || s.Missing > 0 || s.Forked > 0 {
			t.Errorf("node %s: epoch %s, was %s; %+v", n.opts.Node, n.journal.Epoch(), epoch, s)
		}
	}
}

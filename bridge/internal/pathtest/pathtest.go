// Package pathtest is for tests: a TCP path that can be cut, also so that neither end learns of it.
package pathtest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Path is one direction of connecting, both of bytes. Make it with New.
type Path struct {
	to    string
	cut   atomic.Bool
	shut  atomic.Bool
	mute  atomic.Bool
	mark  atomic.Pointer[[]byte] // mute begins when this has been asked for
	tasks sync.WaitGroup
	mu    sync.Mutex
	open  []*pair
}

// pair is one connection on both sides of the path.
type pair struct {
	near, far net.Conn
	dead      atomic.Bool // it was there while the path was cut
}

// New returns a path to an address, and its own.
func New(tb testing.TB, to string) (p *Path, addr string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		tb.Fatal(err)
	}
	p = &Path{to: to}
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

func (p *Path) carry(near net.Conn) {
	if p.shut.Load() {
		_ = near.Close()
		return
	}
	far, err := net.Dial("tcp", p.to) //nolint:noctx // loopback
	if err != nil {
		_ = near.Close()
		return
	}
	one := &pair{near: near, far: far}
	one.dead.Store(p.cut.Load())
	p.mu.Lock()
	p.open = append(p.open, one)
	p.mu.Unlock()
	var asked []byte
	p.tasks.Go(func() { one.copy(far, near, func(part []byte) bool { asked = p.look(asked, part); return true }) })
	p.tasks.Go(func() { one.copy(near, far, func([]byte) bool { return !p.mute.Load() }) })
}

// look finds the mark in what is asked, and returns of it what the mark may have begun in.
func (p *Path) look(before, part []byte) []byte {
	mark := p.mark.Load()
	if mark == nil {
		return nil
	}
	all := append(before, part...) //nolint:gocritic // what is before is not used again
	if bytes.Contains(all, *mark) {
		p.mute.Store(true)
	}
	return all[max(0, len(all)-len(*mark)+1):]
}

func (c *pair) copy(to io.Writer, from io.Reader, passes func(part []byte) bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && !c.dead.Load() && passes(buf[:n]) {
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

// Swallow makes the path a hole: what is sent into it vanishes, and no connection ends. False lets new connections through again.
func (p *Path) Swallow(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut.Store(yes)
	for _, one := range p.open {
		one.dead.Store(true)
	}
}

// Mute makes what the far end says vanish, while it goes on to hear; its end is seen. False lets through what it says from then on.
func (p *Path) Mute(yes bool) {
	p.mark.Store(nil)
	p.mute.Store(yes)
}

// MuteAfter is Mute(true) before the far end hears the end of some text, for whoever has that to say: no answer to it gets back.
func (p *Path) MuteAfter(text string) {
	mark := []byte(text)
	p.mark.Store(&mark)
}

// Shut ends all connections and takes no more. False takes them again.
func (p *Path) Shut(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut.Store(yes)
	for _, one := range p.open {
		one.end()
	}
}

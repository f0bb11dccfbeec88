package ingest

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestClosingAListenerWithoutTheLibrary: its own way to tell clients takes the lock of its client list twice over and hangs for
// good when a client leaves in between.
func TestClosingAListenerWithoutTheLibrary(t *testing.T) {
	b, _ := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "stays", clean: true})
	b.doors[0].Close(func(string) { t.Error("the library's function was called") })
	c.wantClosed()
}

// TestAllAreTold: at the end clients of every listener read that the server shuts down, also when others do not read at all.
func TestAllAreTold(t *testing.T) {
	b := startWS(t, func(o *Options) { o.WriteTimeout = time.Minute })
	for _, id := range []string{"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"} {
		dial(t, b, 5).ok(login{id: id, clean: true}).subscribe("big")
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	for n := uint16(1); n <= 60; n++ {
		p.publish("big", strings.Repeat("x", 200<<10), 1, n, 0, nil)
		p.want(4)
	}
	all := map[string]*client{"p": p}
	for _, id := range []string{"a", "b", "c"} {
		all["tcp "+id] = dial(t, b, 5).ok(login{id: id, clean: true})
		all["ws "+id] = dialWS(t, b, 5).ok(login{id: "ws" + id, clean: true})
	}
	for _, c := range all {
		c.quiet() // its session is up
	}
	closesInTime(t, b)
	for name, c := range all {
		if first, body, err := c.read(); err != nil || first>>4 != 14 || body[0] != 0x8B {
			t.Errorf("%s: %#x %x, error %v; want DISCONNECT 0x8B", name, first, body, err)
		}
	}
}

// ending is a connection that is ended between the look at how much time a write gets and the deadline for it.
type ending struct {
	net.Conn
	c        *conn
	deadline time.Time
}

// SetWriteDeadline implements net.Conn.
func (e *ending) SetWriteDeadline(t time.Time) error {
	e.c.hurry.Store(true)
	e.deadline = t
	return nil
}

// Write implements net.Conn.
func (e *ending) Write(p []byte) (int, error) { return len(p), nil }

// TestWriteOfAConnectionThatEnds gets the time that is left to it, not the whole write timeout.
func TestWriteOfAConnectionThatEnds(t *testing.T) {
	b, _ := start(t, nil)
	e := &ending{}
	e.c = &conn{Conn: e, raw: e, gate: b.gate}
	if _, err := e.c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(e.deadline); left > lingerTime {
		t.Errorf("a write has %s left on a connection that ends, want %s at most", left, lingerTime)
	}
}

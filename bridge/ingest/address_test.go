package ingest

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// distant is a connection from an address of the test's choice.
type distant struct {
	net.Conn
	from string
}

func (d distant) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(d.from))
}

// TestOneHostIsOneAddress: a host that takes another address of its /64 for each connection, or for each guess, gains nothing by it.
func TestOneHostIsOneAddress(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.MaxPerAddress = 2 })
	var taken []*conn
	for _, tc := range []struct{ from, want string }{
		{"[2001:db8::1]:1", ""}, {"[2001:db8::2]:2", ""}, {"[2001:db8::3]:3", "address-limit"}, {"[2001:db8:0:1::1]:4", ""},
		{"192.0.2.1:5", ""}, {"192.0.2.1:6", ""}, {"192.0.2.1:7", "address-limit"}, {"192.0.2.2:8", ""},
	} {
		here, there := net.Pipe()
		defer func() { _, _ = here.Close(), there.Close() }()
		c, refused := b.gate.admit(distant{here, tc.from})
		if refused != tc.want {
			t.Errorf("%s: %q, want %q", tc.from, refused, tc.want)
		}
		if c != nil {
			taken = append(taken, c)
		}
	}
	for _, c := range taken {
		b.gate.release(c)
	}
	if len(b.gate.perAddr) != 0 {
		t.Errorf("places are still taken by %v", b.gate.perAddr)
	}
	th := newThrottle(2, time.Now)
	th.failed("2001:db8::1", "anna")
	th.failed("2001:db8::2", "ben")
	if th.allow("2001:db8::3", "carl") || !th.allow("2001:db8:0:1::3", "carl") || !th.allow("192.0.2.1", "carl") {
		t.Error("the guesses of one host do not add up, or others count for them")
	}
}

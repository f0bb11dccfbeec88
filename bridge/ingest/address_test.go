package ingest

import (
	"fmt"
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

// TestOneHostIsOneAddress: a host that takes another address of its /64 for each connection gains nothing by it.
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
}

// TestGuessesOfOneNetwork: who fails too often locks out nobody but itself, though all of an IPv6 network's devices are one /64; and a
// host that takes another address of it for each guess has few more of them.
func TestGuessesOfOneNetwork(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	th := newThrottle(2, func() time.Time { return now })
	for _, tc := range []struct{ sensor, neighbour string }{
		{"[fe80::1%eth0]:1", "[fe80::2%eth0]:2"}, {"[2001:db8::1]:1", "[2001:db8::2]:2"}, {"192.0.2.1:1", "192.0.2.2:2"},
	} {
		for n := range 2 {
			if th.failed(tc.sensor, fmt.Sprint(tc.sensor, n)); th.allow(tc.sensor, "anna") != (n == 0) {
				t.Errorf("%s: after %d failures", tc.sensor, n+1)
			}
		}
		if !th.allow(tc.neighbour, "anna") {
			t.Errorf("%s locks %s out", tc.sensor, tc.neighbour)
		}
	}
	for n := range 2*networkLimit - 2 { // two were the sensor's
		if !th.allow("[2001:db8::3]:3", "anna") {
			t.Errorf("the network is locked out after %d failures", n+2)
		}
		th.failed(fmt.Sprintf("[2001:db8::1:%x]:1", n), fmt.Sprint("guess", n))
	}
	if th.allow("[2001:db8::3]:3", "anna") || !th.allow("[2001:db8:0:1::3]:3", "anna") || !th.allow("192.0.2.3:3", "anna") {
		t.Error("the guesses of one network do not add up, or others count for them")
	}
}

package bridge

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/peer"
)

func TestCrowd(t *testing.T) {
	c := config.Default()
	c.Viewers.MaxPerAddress, c.Viewers.HandshakeRate = 4, 10
	proxies, err := peer.ParseProxies([]string{"192.0.2.99"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	w := newCrowd(c, ration{viewers: 200, streams: 20, handshakes: 50}, proxies)
	const each = 4 + browserConns
	var inside []string
	come := func(n int, from string, sessions int, want string) {
		t.Helper()
		for i := range n {
			if got := w.enter(from, sessions, now); got != want {
				t.Fatalf("number %d of %s: %q, want %q", i, from, got, want)
			}
			inside = append(inside, from)
		}
	}
	come(each, "192.0.2.1:1", 0, "")
	come(1, "192.0.2.1:1", 0, "address-crowd")
	come(each, "[2001:db8::1]:1", 0, "")
	come(1, "[2001:db8::2]:1", 0, "address-crowd") // the same host
	come(each+5, "192.0.2.99:1", 0, "")
	come(1, "192.0.2.2:1", 250-len(inside), "files")
	come(4*10+suddenConns-2*each-each-5, "192.0.2.99:1", 0, "")
	come(1, "192.0.2.3:1", 0, "storm")
	now = now.Add(time.Second)
	come(2*10, "192.0.2.99:1", 0, "")
	come(1, "192.0.2.3:1", 0, "storm")
	for _, from := range inside {
		w.leave(from)
	}
	if w.all != 0 || len(w.from) != 0 {
		t.Errorf("%d are counted, by %v", w.all, w.from)
	}
	c.Viewers.MaxPerAddress, c.Viewers.Plaintext = 0, true
	w = newCrowd(c, ration{viewers: 1000, streams: 20, handshakes: 500}, nil)
	come(20+480/2, "192.0.2.1:1", 0, "") // half of what is not for streams, and plain TCP costs too little to close it at any rate
	come(1, "192.0.2.1:1", 0, "address-crowd")
	w = newCrowd(c, host{}.ration(c), nil)
	come(1, "192.0.2.1:1", 0, "") // no limit of files is known, and none is made of it by what an int of 32 bits cannot hold
}

// TestStormOfOneLeavesRoom: who opens and closes connections without end meets a limit of his own, before the one that all share. It lies
// beyond what the handshake lets pass, which tells the rest of a crowd behind one address when to come back.
func TestStormOfOneLeavesRoom(t *testing.T) {
	c := config.Default()
	proxies, err := peer.ParseProxies([]string{"192.0.2.99"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	w := newCrowd(c, ration{viewers: 100, streams: 20, handshakes: 50}, proxies)
	rate := c.Viewers.HandshakeRate
	storm := func(n int, from string) (stay int) {
		for range n {
			if w.enter(from, 0, now) == "" {
				stay++
			}
			w.leave(from)
		}
		return stay
	}
	for i := range 10 {
		if n := storm(4*rate, "192.0.2.1:1"); i == 0 && n != 3*rate+suddenConns*3/4 || i > 0 && n != rate*3/2 {
			t.Errorf("second %d: %d of the storm stay", i, n)
		}
		if reason := w.enter("192.0.2.2:1", 0, now); reason != "" {
			t.Errorf("second %d: another is closed, %s", i, reason)
		}
		now = now.Add(time.Second)
	}
	if n := storm(5*rate, "192.0.2.99:1"); n <= 3*rate+suddenConns*3/4 {
		t.Errorf("a proxy that brings many has %d", n)
	}
}

// caller is a connection from an address.
type caller struct {
	net.Conn
	addr net.Addr
}

func (f *caller) RemoteAddr() net.Addr { return f.addr }

// TestIdleConnectionsAreNoCrowd: a connection that idles after a request counts for the limit again with its next one; but no address
// has more than its part of all connections by letting them idle.
func TestIdleConnectionsAreNoCrowd(t *testing.T) {
	c := config.Default()
	c.Viewers.MaxPerAddress = 4
	const limit, part = 4 + browserConns, 20 + 30/2
	b := &Bridge{crowd: newCrowd(c, ration{viewers: 100, streams: 20, handshakes: 50}, nil)}
	w := b.crowd
	var conns []*caller
	come := func(n int, want string) {
		t.Helper()
		for i := range n {
			f := &caller{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: i + 1}}
			if got := w.enter(f.addr.String(), 0, time.Now()); got != want {
				t.Fatalf("number %d: %q, want %q", i, got, want)
			}
			if want != "" {
				w.leave(f.addr.String())
				continue
			}
			conns = append(conns, f)
		}
	}
	become := func(conns []*caller, states ...http.ConnState) {
		for _, f := range conns {
			for _, state := range states {
				b.admit(f, state)
			}
		}
	}
	come(limit, "")
	come(1, "address-crowd")
	become(conns, http.StateActive)
	come(1, "address-crowd")
	become(conns, http.StateIdle)
	come(limit, "")
	become(conns[:1], http.StateActive, http.StateIdle, http.StateActive)
	come(1, "address-crowd")
	become(conns[limit:limit+2], http.StateClosed) // they never asked anything
	conns = append(conns[:limit:limit], conns[limit+2:]...)
	come(1, "")
	become(conns, http.StateActive, http.StateIdle)
	come(limit, "")
	become(conns, http.StateIdle)
	come(part-len(conns), "")
	come(1, "address-crowd")
	become(conns[:1], http.StateActive, http.StateHijacked)
	become(conns[1:], http.StateClosed)
	if w.all != 0 || len(w.from) != 0 || len(w.idle) != 0 || len(w.rest) != 0 {
		t.Errorf("%d are counted, by %v, idle %v, %d connections", w.all, w.from, w.idle, len(w.rest))
	}
}

// TestIdleCrowdOfOneIsBounded: where the connections of an address are limited, those that idle are too, long before its part of all.
func TestIdleCrowdOfOneIsBounded(t *testing.T) {
	c := config.Default()
	c.Viewers.MaxPerAddress, c.Viewers.Plaintext = 4, true
	b := &Bridge{crowd: newCrowd(c, ration{viewers: 10_000, streams: 1000, handshakes: 50_000}, nil)}
	const limit = 4 + browserConns
	inside := 0
	for n := range 1000 * limit {
		f := &caller{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: n + 1}}
		if reason := b.crowd.enter(f.addr.String(), 0, time.Now()); reason == "address-crowd" {
			b.crowd.leave(f.addr.String())
			continue
		} else if reason != "" {
			t.Fatal(reason)
		}
		inside++
		b.admit(f, http.StateActive)
		b.admit(f, http.StateIdle)
	}
	if inside != idleTimes*limit {
		t.Errorf("one address has %d connections, want %d", inside, idleTimes*limit)
	}
}

// TestSilentCrowdLeavesRoom: one host that opens connections and says nothing keeps no other out, and each is closed before any TLS.
func TestSilentCrowdLeavesRoom(t *testing.T) {
	const limit = 3
	r := run(t, func(c *Config) { c.Viewers.MaxPerAddress = limit })
	host := r.b.Addresses().Viewers
	var silent []net.Conn
	for range limit + browserConns {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		silent = append(silent, c)
	}
	eventually.Must(t, "the silent ones to be counted", func() bool {
		r.b.crowd.mu.Lock()
		defer r.b.crowd.mu.Unlock()
		return r.b.crowd.all == len(silent)
	})
	if c, err := tls.Dial("tcp", host, r.tls()); err == nil {
		_ = c.Close()
		t.Error("one more has its TLS handshake")
	}
	other, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	shaken := tls.Client(other, r.tls())
	defer func() { _ = shaken.Close() }()
	if err := shaken.HandshakeContext(t.Context()); err != nil {
		t.Errorf("another host: %v", err)
	}
	_ = silent[0].Close()
	eventually.Must(t, "a place of its own again", func() bool {
		c, err := tls.Dial("tcp", host, r.tls())
		return err == nil && c.Close() == nil
	})
}

// TestHandshakeRateHoldsBeforeTLS: a storm far beyond the rate is not answered at all, which costs next to nothing.
func TestHandshakeRateHoldsBeforeTLS(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.HandshakeRate = 1
		c.Viewers.Heartbeat = config.Duration(time.Minute) // the good one does not read while the storm takes its time
	})
	good := r.open(nil)
	closed := 0
	for range 3 * suddenConns {
		c, err := net.Dial("tcp", r.b.Addresses().Viewers)
		if err != nil {
			t.Fatal(err)
		}
		shaken := tls.Client(c, r.tls())
		if err := shaken.HandshakeContext(t.Context()); err != nil {
			closed++
		}
		_ = shaken.Close()
	}
	var m dto.Metric
	if err := r.b.m.Handshakes.WithLabelValues("storm").Write(&m); err != nil {
		t.Fatal(err)
	}
	if n := m.GetCounter().GetValue(); n < float64(closed) || closed == 0 {
		t.Errorf("%d were closed, %v by the rate", closed, n)
	}
	good.sub(1, "a", nil)
}

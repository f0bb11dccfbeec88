package bridge

import (
	"net"
	"net/http"
	"sync"
	"time"

	"plumbline/bridge/internal/peer"
	"plumbline/bridge/internal/rates"
)

// crowd looks at viewers' connections before anything is spent on them, the TLS handshake above all. It counts those that are not
// served yet, and those served over HTTP. What comes too many it can only close: nobody has asked anything yet that could be
// answered. So its limits lie beyond those of the handshake, which answers, for one address too.
type crowd struct {
	most       int64        // connections, with the sessions that are out of its hands: more than an int of 32 bits when the files are not known
	perAddress int          // of one address, idle ones too
	busy       int          // of one address, without those that idle between two requests
	rate       *rates.Rates // of all together
	each       *rates.Rates // of one address
	proxies    peer.Proxies // they bring many

	mu   sync.Mutex
	all  int
	from map[string]int        // by peer.Key
	idle map[string]int        // of these
	rest map[net.Conn]struct{} // the idle ones
}

// Beyond what is served of one address: what a browser opens to one host besides. How many times that an address has with the idle ones,
// which are those of its other browsers. And connections that may come at once, whatever
// the rate; of one address three quarters of them, as of the rate, which leaves the others a quarter.
const (
	browserConns = 6
	idleTimes    = 4
	suddenConns  = 128
)

func newCrowd(c Config, r ration, proxies peer.Proxies) *crowd {
	w := &crowd{most: int64(r.viewers) + int64(r.handshakes), proxies: proxies, rate: rates.New(0, 0), each: rates.New(0, 0),
		from: map[string]int{}, idle: map[string]int{}, rest: map[net.Conn]struct{}{}}
	w.perAddress = r.streams + max(0, r.handshakes-r.streams)/2
	if w.busy = w.perAddress; c.Viewers.MaxPerAddress > 0 {
		w.busy = min(w.busy, c.Viewers.MaxPerAddress+browserConns)
		w.perAddress = min(w.perAddress, idleTimes*w.busy)
	}
	if !c.Viewers.Plaintext {
		rate, burst := 2*c.Viewers.HandshakeRate, 4*c.Viewers.HandshakeRate+suddenConns
		w.rate, w.each = rates.New(rate, burst), rates.New(3*rate/4, 3*burst/4)
	}
	return w
}

// enter counts a connection and says why it has to go, "" when it may stay. sessions is how many there are besides.
func (w *crowd) enter(remote string, sessions int, now time.Time) (reason string) {
	key, proxy := peer.Key(remote), w.proxies.Has(remote)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all++
	w.from[key]++
	switch {
	case int64(w.all)+int64(sessions) > w.most:
		return "files"
	case !proxy && (w.from[key] > w.perAddress || w.from[key]-w.idle[key] > w.busy):
		return "address-crowd"
	case !proxy && !w.each.Take(key, now): // before the others' share is touched
		return "storm"
	case !w.rate.Take("", now):
		return "storm"
	}
	return ""
}

// leave counts a connection out that is not idle, whatever enter said.
func (w *crowd) leave(remote string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	less(w.from, peer.Key(remote))
}

// settle notes that a connection idles from now on, having been answered.
func (w *crowd) settle(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, idle := w.rest[c]; !idle {
		w.rest[c] = struct{}{}
		w.idle[peer.Key(c.RemoteAddr().String())]++
	}
}

// rouse notes that a connection does not idle, or not any more.
func (w *crowd) rouse(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, idle := w.rest[c]; idle {
		delete(w.rest, c)
		less(w.idle, peer.Key(c.RemoteAddr().String()))
	}
}

// less takes one from the count of key.
func less(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// admit is told what becomes of each connection of a viewer.
func (b *Bridge) admit(c net.Conn, state http.ConnState) {
	remote := c.RemoteAddr().String()
	switch state {
	case http.StateNew:
		if reason := b.crowd.enter(remote, b.wire.Sessions(), time.Now()); reason != "" {
			b.m.Handshakes.WithLabelValues(reason).Inc()
			_ = c.Close() // the server sees it and reports StateClosed
		}
	case http.StateActive: // with its first request too
		b.crowd.rouse(c)
	case http.StateIdle:
		b.crowd.settle(c)
	case http.StateClosed, http.StateHijacked: // from any of the others
		b.crowd.rouse(c)
		b.crowd.leave(remote)
	}
}

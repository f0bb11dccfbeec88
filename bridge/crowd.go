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
// answered. So its limits lie beyond those of the handshake, which answers.
type crowd struct {
	most       int // connections, with the sessions that are out of its hands
	perAddress int
	rate       *rates.Rates // of all together
	each       *rates.Rates // of one address
	proxies    peer.Proxies // they bring many

	mu   sync.Mutex
	all  int
	from map[string]int // by peer.Key
}

// Beyond what is served of one address: what a browser opens to one host besides. And connections that may come at once, whatever
// the rate; of one address half as many, as half the rate.
const (
	browserConns = 6
	suddenConns  = 128
)

func newCrowd(c Config, r ration, proxies peer.Proxies) *crowd {
	w := &crowd{most: r.viewers + r.handshakes, proxies: proxies, rate: rates.New(0, 0), each: rates.New(0, 0), from: map[string]int{}}
	if w.perAddress = r.streams + max(0, r.handshakes-r.streams)/2; c.Viewers.MaxPerAddress > 0 {
		w.perAddress = min(w.perAddress, c.Viewers.MaxPerAddress+browserConns)
	}
	if !c.Viewers.Plaintext {
		rate, burst := 2*c.Viewers.HandshakeRate, 4*c.Viewers.HandshakeRate+suddenConns
		w.rate, w.each = rates.New(rate, burst), rates.New(rate/2, burst/2)
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
	case w.all+sessions > w.most:
		return "files"
	case !proxy && w.from[key] > w.perAddress:
		return "address-crowd"
	case !proxy && !w.each.Take(key, now): // before the others' share is touched
		return "storm"
	case !w.rate.Take("", now):
		return "storm"
	}
	return ""
}

// leave counts a connection out, whatever enter said.
func (w *crowd) leave(remote string) {
	key := peer.Key(remote)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.from[key]--; w.from[key] <= 0 {
		delete(w.from, key)
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
	case http.StateClosed, http.StateHijacked:
		b.crowd.leave(remote)
	case http.StateActive, http.StateIdle:
	}
}

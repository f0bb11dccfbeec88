package ingest

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/audit"
	"plumbline/bridge/internal/peer"
)

// authenticate decides a CONNECT. The answer to a stranger is the same whatever is wrong.
func (b *Broker) authenticate(cl *mqtt.Client, c *conn, pk packets.Packet) bool {
	users, name, password := b.opts.Users, string(pk.Connect.Username), pk.Connect.Password
	certified, byCertificate := b.opts.Certificates.user(c.peer())
	if byCertificate {
		if pk.Connect.UsernameFlag && name != certified || users == nil || !users.has(certified) {
			return b.loginRefused(c, "certificate")
		}
		name, cl.Properties.Username = certified, []byte(certified)
	}
	c.userMark = users.mark(name) // before the password is looked at: a change since shows
	switch {
	case byCertificate, users == nil, users.knows(name, password, c.addr):
	case !b.logins.allow(c.addr, name):
		return b.loginRefused(c, "throttled")
	case !users.check(b.ctx, name, password, c.addr):
		b.logins.failed(c.addr, name)
		return b.loginRefused(c, "password")
	}
	return true
}

func (b *Broker) loginRefused(c *conn, reason string) bool {
	b.m.MQTTRejected.WithLabelValues(reason).Inc()
	audit.Refused(b.log, audit.Event{Action: "mqtt login", Reason: reason, Remote: c.addr})
	return false
}

// throttle counts failed logins per address and per account, in windows of a minute: who failed too often is refused without a
// look at the password until the window is over. A /64 of IPv6, of which a host may take any address it likes, but which may also be
// all of a plant's devices, has the failures of several addresses. A known device is not locked out by others who guess at its
// account, see Users.knows.
type throttle struct {
	limit int
	now   func() time.Time

	mu     sync.Mutex
	begin  time.Time
	counts map[string]int
}

// throttleWindow is how long failures count.
const throttleWindow = time.Minute

// networkLimit is how many addresses' failures a /64 has.
const networkLimit = 8

// maxThrottled bounds the addresses, networks and accounts in one window; beyond it all others share one count.
const maxThrottled = 100_000

func newThrottle(limit int, now func() time.Time) *throttle {
	return &throttle{limit: limit, now: now, counts: map[string]int{}}
}

// allow reports whether a login from the address to the account may be tried.
func (t *throttle) allow(addr, account string) bool {
	if t.limit <= 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn()
	return t.counts[t.key("a"+peer.Host(addr))] < t.limit && t.counts[t.key("n"+peer.Key(addr))] < networkLimit*t.limit &&
		t.counts[t.key("u"+account)] < t.limit
}

// failed counts a login that failed.
func (t *throttle) failed(addr, account string) {
	if t.limit <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn()
	t.counts[t.key("a"+peer.Host(addr))]++
	t.counts[t.key("n"+peer.Key(addr))]++
	t.counts[t.key("u"+account)]++
}

func (t *throttle) key(k string) string {
	if _, known := t.counts[k]; known || len(t.counts) < maxThrottled {
		return k
	}
	return ""
}

func (t *throttle) turn() {
	if now := t.now(); now.Sub(t.begin) >= throttleWindow {
		t.begin, t.counts = now, map[string]int{}
	}
}

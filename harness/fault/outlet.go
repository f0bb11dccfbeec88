package fault

import (
	"net"
	"time"
)

// outlet is where one way of one connection is written to. It belongs to the
// goroutine that writes.
type outlet struct {
	lane *lane
	link *link
	to   net.Conn
	free time.Time // when the throttled line has carried what it took
}

// send writes parcels of data that was due at that time. It reports whether more
// may follow.
func (o *outlet) send(parcels []parcel, due time.Time) bool {
	for _, p := range parcels {
		if p.delay > 0 && !wait(o.link, due.Add(p.delay)) {
			return false
		}
		if !o.write(p.data) {
			return false
		}
		if p.reset {
			o.link.close(true)
			return false
		}
	}
	return true
}

// write writes data as fast as the throttle lets it.
func (o *outlet) write(p []byte) bool {
	for len(p) > 0 {
		n, throttled, ok := o.admit(len(p))
		if !ok || throttled && (!o.lane.pass(o.link.done) || o.link.dropping.Load()) {
			return false
		}
		if _, err := o.to.Write(p[:n]); err != nil {
			o.link.lost()
			return false
		}
		p = p[n:]
	}
	return true
}

// admit returns how many of want bytes may go now, when the throttled line has
// carried them. A throttle that changes or ends meanwhile counts at once. It is
// false when the link is over.
func (o *outlet) admit(want int) (n int, throttled, ok bool) {
	begin := time.Now()
	if o.free.After(begin) {
		begin = o.free
	}
	for {
		rate, changed := o.lane.pacing()
		if rate == 0 {
			o.free = time.Time{}
			return want, throttled, true
		}
		throttled = true
		n = min(want, trickle(rate))
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
			o.free = due
			return n, true, true
		case <-changed:
			timer.Stop()
		case <-o.link.done:
			timer.Stop()
			return 0, true, false
		}
	}
}

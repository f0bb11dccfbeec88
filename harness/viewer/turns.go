package viewer

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// turns spaces the requests of one viewer, whichever address they are for: a
// client that asks for many things is no faster than one that asks for one. Each
// that waits has a turn of its own, so they come in the order in which they asked.
// The zero value is ready; methods may be called by any goroutine.
type turns struct {
	mu   sync.Mutex
	next time.Time // the first turn that nobody has
	rise time.Time // nobody asks before
}

// take waits for a turn, which is interval before the one after it. It is false
// when ctx ends first.
func (t *turns) take(ctx context.Context, interval time.Duration) bool {
	for {
		at, free := t.reserve(interval)
		if free {
			return ctx.Err() == nil
		}
		if !pause(ctx, time.Until(at)) {
			return false
		}
		if !t.resting() {
			return true
		}
	}
}

// reserve returns the next turn, and whether that is now.
func (t *turns) reserve(interval time.Duration) (at time.Time, free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	at = later(now, later(t.next, t.rise))
	t.next = at.Add(interval)
	return at, !at.After(now)
}

// anew forgets the turns that were waited for in vain by who has gone.
func (t *turns) anew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = time.Time{}
}

func (t *turns) resting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.rise)
}

// took counts a request that is made without a turn.
func (t *turns) took(interval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = later(t.next, time.Now().Add(interval))
}

// rest lets nobody ask for so long, a minute at most.
func (t *turns) rest(wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rise = later(t.rise, time.Now().Add(min(wait, time.Minute)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// interval is how far two requests of the viewer are apart.
func (d *webDialect) interval() time.Duration {
	if d.cfg.Interval > 0 {
		return d.cfg.Interval
	}
	return DefaultInterval
}

// putOff returns how long a server asks to wait that limits the rate of requests
// (RFC 6585 section 4); 0 for everything else, and for one that does not say.
func putOff(err error) time.Duration {
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
		return 0
	}
	return refused.Retry
}

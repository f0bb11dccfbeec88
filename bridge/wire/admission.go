package wire

import (
	"math"
	"sync"
	"time"
)

// turnstile lets handshakes pass at a rate, after a burst of twice as many, and tells those it turns away when to come back: spread
// over the time that it takes to let all of them in.
type turnstile struct {
	rate float64 // a second; 0 lets everyone pass

	mu     sync.Mutex
	tokens float64
	owed   float64 // turned away and expected back
	at     time.Time
}

// longestReturn bounds what the turnstile tells.
const longestReturn = 2 * time.Minute

func newTurnstile(rate int, now time.Time) *turnstile {
	return &turnstile{rate: float64(rate), tokens: 2 * float64(rate), at: now}
}

// pass reports whether a handshake may go on; if not, the time over which to spread the return.
func (g *turnstile) pass(now time.Time) (spread time.Duration, ok bool) {
	if g.rate == 0 {
		return 0, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	came := g.rate * max(0, now.Sub(g.at).Seconds())
	g.at = now
	g.tokens = min(2*g.rate, g.tokens+came)
	g.owed = max(0, g.owed-came)
	if g.tokens >= 1 {
		g.tokens--
		return 0, true
	}
	g.owed++
	return min(longestReturn, time.Duration(math.Ceil(g.owed/g.rate))*time.Second), false
}

// faults counts how often the sessions of one subject were closed for its own fault. A client that comes back each time without
// heeding the close codes is turned away after its token is checked, until the rate allows it again.
type faults struct {
	mu   sync.Mutex
	seen map[string]fault
}

type fault struct {
	tokens float64
	at     time.Time
}

// A subject's faulty sessions: a burst, refilled at a rate a second.
const (
	faultBurst = 100
	faultRate  = 1
)

// maxFaulty bounds the subjects remembered. Beyond it those that are nearly forgiven are forgotten.
const maxFaulty = 10_000

func (f fault) now(now time.Time) float64 {
	return min(faultBurst, f.tokens+faultRate*max(0, now.Sub(f.at).Seconds()))
}

// note counts one.
func (f *faults) note(subject string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = make(map[string]fault)
	}
	one, ok := f.seen[subject]
	if !ok {
		one = fault{faultBurst, now}
		f.trim(now)
	}
	f.seen[subject] = fault{max(0, one.now(now)-1), now}
}

func (f *faults) trim(now time.Time) {
	for limit := faultBurst - 1.0; len(f.seen) >= maxFaulty && limit > -faultBurst; limit -= faultBurst / 4 {
		for s, one := range f.seen {
			if one.now(now) >= limit {
				delete(f.seen, s)
			}
		}
	}
}

// wait returns how long a subject has to stay away; 0 for not at all.
func (f *faults) wait(subject string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.seen[subject]
	if !ok {
		return 0
	}
	if left := 1 - one.now(now); left > 0 {
		return time.Duration(left / faultRate * float64(time.Second))
	}
	return 0
}

// ownFault reports whether a session that ended with the code was closed for what the viewer did.
func (c CloseCode) ownFault() bool {
	switch c {
	case CloseProtocol, CloseUnsupported, CloseUTF8, CloseTooBig, CloseForbidden, CloseMisuse, CloseLimit, CloseSlow, CloseRate:
		return true
	default:
		return false
	}
}

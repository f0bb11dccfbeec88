package gate

import (
	"sync"
	"time"

	"plumbline/bridge/internal/peer"
)

// How long who has failed too often must wait.
const (
	refill       = time.Second      // one failure is forgiven each
	firstWait    = time.Second      // doubled with each further failure
	longestWait  = time.Minute      //
	forgetAfter  = 10 * time.Minute // without a failure
	maxAddresses = 1 << 16          // remembered at once
)

// throttle slows down who tries bad credentials, by address class. What is under way when the first of them fails was let in before it:
// as many at once as the address may have requests, over HTTP/2 several for each connection. Safe for concurrent use.
type throttle struct {
	now  func() time.Time
	free int // failures before the first wait; 0 = never wait

	mu   sync.Mutex
	seen map[string]*tries
}

// tries is the record of one address class.
type tries struct {
	spent float64 // failures not yet made up for
	last  time.Time
	wait  time.Duration // the last wait imposed
	until time.Time
}

func newThrottle(free int, now func() time.Time) *throttle {
	return &throttle{free: free, now: now, seen: map[string]*tries{}}
}

// wait returns how long addr has to wait before it may try again; 0 = not at all.
func (t *throttle) wait(addr string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one := t.seen[peer.Network(addr)]; one != nil {
		return max(0, one.until.Sub(t.now()))
	}
	return 0
}

// fail records a bad credential.
func (t *throttle) fail(addr string) {
	if t.free <= 0 {
		return
	}
	now, class := t.now(), peer.Network(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.seen[class]
	if one == nil || now.Sub(one.last) > forgetAfter {
		t.makeRoom(now)
		one = &tries{last: now}
		t.seen[class] = one
	}
	if quiet := now.Sub(one.last); quiet > 0 {
		one.spent -= quiet.Seconds() / refill.Seconds()
	}
	if one.spent <= 0 {
		one.spent, one.wait = 0, 0
	}
	one.spent++
	one.last = now
	if one.spent <= float64(t.free) {
		return
	}
	one.wait = min(max(firstWait, 2*one.wait), longestWait)
	one.until = now.Add(one.wait)
	one.last = one.until // waiting makes up for nothing
}

// makeRoom forgets who has been quiet and, when too many are busy, anyone. It leaves room for many more, since it looks at all. The
// caller holds mu.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.seen) < maxAddresses {
		return
	}
	for class, one := range t.seen {
		if now.Sub(one.last) > forgetAfter {
			delete(t.seen, class)
		}
	}
	for class := range t.seen {
		if len(t.seen) <= maxAddresses*7/8 {
			return
		}
		delete(t.seen, class)
	}
}

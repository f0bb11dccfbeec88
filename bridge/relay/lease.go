package relay

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"
)

// lease says whether this node is the one that stores what all nodes get. That it thinks so is a matter of courtesy only: what it
// stores carries the token, and Redis refuses it when another node has the lease by then.
type lease struct {
	mu      sync.Mutex
	now     string    // the token; "" = not held
	until   time.Time // by the monotonic clock, counted from before Redis was asked
	barrier uint64    // what the log had when the lease was got: only behind it it is known what others have stored
}

func (l *lease) token() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = ""
}

// take notes that the lease is held and reports whether it was not before.
func (l *lease) take(token string, until time.Time, barrier uint64) (fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fresh = l.now != token; fresh {
		l.barrier = barrier
	}
	l.now, l.until = token, until
	return fresh
}

// held returns the token if the lease is held by a node whose journal goes up to head, else "".
func (l *lease) held(head uint64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !time.Now().Before(l.until) || head < l.barrier {
		return ""
	}
	return l.now
}

// leads returns the token under which this node stores what all nodes get; "" when it does not.
func (r *Relay) leads() string {
	if r.journal == nil {
		return ""
	}
	return r.lease.held(r.journal.Head().Offset)
}

// leading reports whether this node stores what all nodes get.
func (r *Relay) leading() bool { return r.leads() != "" }

// look notes how this node's sources and its journal are.
func (r *Relay) look() {
	connected, all := r.opts.Sources()
	if r.journal.Err() != nil {
		connected = 0
	}
	r.up = 2 * connected
	if connected > 0 && r.standby.late.Load() {
		r.up-- // it would store again what the log has: let another lead that can compare
	}
	switch {
	case connected < all || connected == 0:
		r.whole = time.Time{}
	case r.whole.IsZero():
		r.whole = time.Now()
	}
}

// wholeFor is for how long all sources have been connected.
func (r *Relay) wholeFor() time.Duration {
	if r.whole.IsZero() {
		return 0
	}
	return time.Since(r.whole)
}

// keepLease takes or renews the lease. A node that cannot store, or has fewer sources than another, leaves it to others.
func (r *Relay) keepLease(ctx context.Context, s *server) error {
	if r.up == 0 || r.others.best(r.opts.Node) > r.up {
		r.lease.release(ctx, s, r.keys)
		return nil
	}
	began := time.Now()
	word, first, second, err := reply(leaseScript.Run(ctx, s, []string{r.keys.lease(), r.keys.head()},
		s.run, r.name, r.opts.Node+" "+r.process, rand.Text(), r.opts.Lease.Milliseconds()))
	switch {
	case err != nil:
		return err
	case word == replyOther:
		r.lease.drop()
		return nil
	case word != replyOK:
		return errUnsettled
	}
	pos, err := strconv.ParseUint(second, 10, 64)
	if err != nil {
		return errUnsettled
	}
	r.aim(pos)
	if r.lease.take(first, began.Add(r.opts.Lease), pos) {
		r.log.Info("relay: this node has the lease", "node", r.opts.Node, "pos", pos)
	}
	r.changed.fire()
	return nil
}

// release gives the lease back, so that the next one need not wait for its end.
func (l *lease) release(ctx context.Context, s *server, k keys) {
	if token := l.token(); token != "" {
		l.drop()
		_ = releaseScript.Run(ctx, s, []string{k.lease()}, token).Err() // else it expires
	}
}

package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/journal"
)

// listen takes what comes by Pub/Sub. It waits for the journal's disk only while that keeps up, one batch at a time: should the disk
// stand still for long, Redis cuts a subscriber that does not read, and what was missed is read from the stream, as is what finds no room. The library connects anew by itself, without a word; what was missed meanwhile shows in the
// places of the batches that follow, and in the beats.
func (r *Relay) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.subscription(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Debug("relay: subscribing anew", "reason", err)
		if refused(err) {
			r.trouble.set("subscribe", explain(err).Error(), freshFor)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// subscription is one of them, until it breaks or goes deaf.
func (r *Relay) subscription(ctx context.Context) error {
	ps := r.client.subscribe(ctx, r.keys.nodes(), r.keys.ask(), r.keys.revoked(), r.keys.clients())
	defer func() { _ = ps.Close() }()
	hears := map[string]bool{r.opts.Node: true} // its own batches a node has already
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })()
	heard, again := time.Now(), true
	for {
		if again {
			if err := r.tune(ctx, ps, hears); err != nil {
				return err
			}
		}
		m, err := ps.ReceiveTimeout(ctx, beatEvery)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var late interface{ Timeout() bool }
		switch {
		case err == nil:
			heard = time.Now()
		case errors.As(err, &late) && late.Timeout():
			if time.Since(heard) < freshFor {
				continue
			}
			// Our own beats come by this way every second. A connection that is alive proves nothing.
			r.stats.probes.Add(1)
			return errors.New("nothing came for too long")
		default:
			return err
		}
		again = false
		switch m := m.(type) {
		case *redis.Message:
			r.receive(ctx, m)
			again = m.Channel == r.keys.nodes()
		case *redis.Subscription: // what was published before it came to nobody here
			select {
			case r.begun <- struct{}{}:
			default:
			}
		}
	}
}

// tune subscribes to what the nodes publish that were heard of, and are not in hears.
func (r *Relay) tune(ctx context.Context, ps *redis.PubSub, hears map[string]bool) error {
	for _, node := range r.others.fresh("") {
		if hears[node] {
			continue
		}
		hears[node] = true
		if err := r.client.subscribeTo(ctx, ps, r.keys.live(node)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) receive(ctx context.Context, m *redis.Message) {
	switch m.Channel {
	case r.keys.nodes():
		r.hear(m.Payload, true)
	case r.keys.ask():
		r.asked(ctx, m.Payload)
	case r.keys.revoked():
		r.reshare()
	case r.keys.clients():
		r.devices.look()
	default:
		r.live(m.Payload)
	}
}

// live takes a batch as it is published. What follows the journal's head goes there at once, without another goroutine; the rest, and
// what comes while something else is being done there, waits its turn.
func (r *Relay) live(text string) {
	b := r.parse([]byte(text))
	if b == nil {
		return
	}
	r.aimAt(b.name, b.to)
	if len(r.incoming) == 0 && r.applying.TryLock() {
		done := b.from <= r.journal.Head().Offset && !r.apply(b)
		r.applying.Unlock()
		if done {
			r.fetch()
			return
		}
	}
	select {
	case r.incoming <- b:
	default:
		r.stats.dropped.Add(1)
	}
}

// healAfter is how long an entry that is in the log may be on its way by Pub/Sub before it is read from the stream.
const healAfter = 50 * time.Millisecond

// follow brings the journal up to the log until ctx ends.
func (r *Relay) follow(ctx context.Context) {
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-r.incoming:
			if r.take(b) {
				r.heal(ctx)
			}
		case <-r.wake:
		case <-r.begun:
			_, _ = r.fromStream(ctx, r.journal.Head().Offset) // else the next beat shows what is missing
		case <-late:
			r.heal(ctx)
		}
		late = nil
		if r.journal.Head().Offset < r.target.Load() {
			late = time.After(healAfter)
		}
	}
}

// parse reads a batch, or counts why not.
func (r *Relay) parse(p []byte) *batch {
	b, err := parseBatch(p, r.key)
	if err != nil {
		r.rejected(err.Error())
		if errors.Is(err, errVersion) {
			r.trouble.set("version", fmt.Sprintf("another bridge of cluster %q speaks another version of the form between bridges, so the two do not hear each other: bring all to one version of the program", r.opts.Cluster), time.Minute)
		}
		r.log.Warn("relay: a batch is rejected", "reason", err)
		return nil
	}
	return b
}

// take applies a batch to the journal. It reports whether something before it is missing, or it could not be written: then the
// stream has to be read.
func (r *Relay) take(b *batch) (missing bool) {
	r.applying.Lock()
	defer r.applying.Unlock()
	return r.apply(b)
}

// apply is take. Called with applying held.
func (r *Relay) apply(b *batch) (missing bool) {
	head := r.journal.Head()
	if b.from < head.Offset && head.Offset < b.to && (b.number == 0 || r.recent.at(b.from).to == 0) {
		// Pieces of a journal came before the rest of it, or before the batch that they are of.
		b.entries, b.from = b.entries[head.Offset-b.from:], head.Offset
	}
	switch {
	case b.epoch != head.Epoch:
		r.rejected("epoch") // an old one, or one that the goroutine which stores is about to find
		return false
	case b.to > r.limit || !r.line.Load().holds(b.name, b.to): // the log is settled otherwise, or about to be
		return false
	case b.to <= head.Offset:
		if m := r.recent.at(b.from); m.to == b.to && m.number != 0 && b.number != 0 && (m.process != b.process || m.number != b.number) {
			r.conflict()
			r.log.Error("relay: a batch is rejected: the log has something else in its place", "from", b.from, "to", b.to, "head", head.Offset)
		}
		return false
	case b.from < head.Offset:
		r.conflict()
		r.log.Error("relay: a batch is rejected: it overlaps what is there", "from", b.from, "to", b.to, "head", head.Offset)
		return false
	}
	r.raise(b.to)
	if b.from > head.Offset {
		r.stats.gaps.Add(1)
		return true
	}
	ms := make([]journal.Message, len(b.entries))
	for i := range b.entries {
		ms[i] = b.entries[i].Message
	}
	if err := r.journal.AppendAt(b.from+1, ms); err != nil {
		r.trouble.set("journal", "the journal does not take what the log has: "+err.Error(), freshFor)
		return errors.Is(err, journal.ErrDegraded)
	}
	r.recent.add(b)
	if b.flags&flagLeased != 0 && (b.process != r.process || b.number != r.offering.Load()) { // an own one that came late is news too
		r.standby.see(b.entries)
	}
	r.changed.fire()
	return false
}

// conflict counts a batch that is proof of two logs, and raises an alarm.
func (r *Relay) conflict() {
	r.rejected("overlap")
	r.trouble.set("overlap", "something else came for a place that this journal has filled: somebody else writes to this Redis, or two logs were made of one", time.Minute)
}

// healMost bounds one read of the stream, in batches.
const healMost = 64

// heal reads what is missing: from the stream, else from another node; what neither has is declared.
func (r *Relay) heal(ctx context.Context) {
	for ctx.Err() == nil {
		head := r.journal.Head()
		if head.Offset >= r.target.Load() || r.journal.Err() != nil {
			return
		}
		next, err := r.fromStream(ctx, head.Offset)
		if err != nil {
			return // Redis is away: what it has will be read when it is back
		}
		if r.journal.Head() != head {
			continue
		}
		to := r.target.Load()
		if next > head.Offset {
			to = min(to, next)
		}
		if to <= head.Offset {
			return
		}
		if r.fromPeers(ctx, head, to) {
			continue
		}
		if ctx.Err() == nil && !r.declare(head, to) {
			return
		}
	}
}

// fromStream applies the batches of the stream behind after. next is where the first one begins that does not follow; 0 when
// there is none.
func (r *Relay) fromStream(ctx context.Context, after uint64) (next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := r.client.XRangeN(ctx, r.keys.log(), fmt.Sprintf("%d-0", after+1), "+", healMost).Result()
	if err != nil {
		if refused(err) {
			r.trouble.set("stream", explain(err).Error(), freshFor)
		}
		return 0, err
	}
	for _, m := range all {
		text, _ := m.Values["b"].(string)
		b := r.parse([]byte(text))
		if b == nil {
			continue
		}
		if r.take(b) {
			return b.from, nil
		}
	}
	return 0, nil
}

// declare gives up the entries after head up to to: nobody has them.
func (r *Relay) declare(head journal.Cursor, to uint64) bool {
	r.applying.Lock()
	defer r.applying.Unlock()
	if r.journal.Head() != head {
		return true // they came after all
	}
	if to > r.limit {
		return false
	}
	if err := r.journal.Continue(head.Epoch, r.line.Load().name(), to); err != nil {
		return false
	}
	r.stats.missing.Add(to - head.Offset)
	r.log.Error("relay: entries are in no journal and not in Redis any more: viewers are told of a gap", "epoch", head.Epoch, "from", head.Offset, "to", to)
	r.changed.fire()
	return true
}

// recent remembers whose the latest batches were, so that one that comes again is told from another in its place.
type recent struct {
	marks [1024]mark
	next  int
}

type mark struct {
	flags    byte
	process  string
	number   uint64
	from, to uint64
}

func (r *recent) add(b *batch) {
	r.marks[r.next%len(r.marks)] = mark{b.flags, b.process, b.number, b.from, b.to}
	r.next++
}

// at returns the batch that begins at from; the zero value when it is not known.
func (r *recent) at(from uint64) mark {
	for i := range r.marks {
		if m := r.marks[i]; m.from == from && m.to > from {
			return m
		}
	}
	return mark{}
}

// behind returns where the first known batch behind from begins; limit when there is none before that.
func (r *recent) behind(from, limit uint64) uint64 {
	for i := range r.marks {
		if m := r.marks[i]; m.to > m.from && m.from > from {
			limit = min(limit, m.from)
		}
	}
	return limit
}

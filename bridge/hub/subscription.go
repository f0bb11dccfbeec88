package hub

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// Subscription is one viewer's place in one filter's stream: a cursor, whatever
// the viewer's speed. Pull must not be called concurrently with itself; the other
// methods may be called at any time.
type Subscription struct {
	hub     *Hub
	group   *group
	allow   func(string) bool
	notify  func()
	cursor  atomic.Uint64
	closed  atomic.Bool
	place   int  // in group.waiting, or notWaiting; guarded by group.mu
	queued  bool // waits for a slot to catch up; guarded by slots.mu
	retries bool // is in Hub.stuck; guarded by Hub.mu
}

const notWaiting = -1

// Subscribe adds a subscription. Its stream begins after the returned cursor, and
// its first batch does, without a hole and without repeating the snapshot. A
// cursor to resume from is recovered whole or not at all: then the stream starts
// at the present and Reason says why. Errors: an invalid filter, an access list
// without a key, [ErrClosed]. It may wait for the loop for about a millisecond.
func (h *Hub) Subscribe(o SubscribeOptions) (*Subscription, Subscribed, error) {
	if err := topic.ValidFilter(o.Filter); err != nil {
		return nil, Subscribed{}, fmt.Errorf("hub: subscribe: %w", err)
	}
	if err := validAccess(o.Access); err != nil {
		return nil, Subscribed{}, err
	}
	if o.Notify == nil {
		o.Notify = func() {}
	}
	answer := Subscribed{Cursor: journal.Cursor{Epoch: h.journal.Epoch()}}
	answer.Reason = h.whyNot(o.Since)
	answer.Recovered = answer.Reason == ""
	snapshot := o.Snapshot && !answer.Recovered
	switch {
	case answer.Recovered:
		answer.Cursor.Offset = o.Since.Offset
	case snapshot:
		answer.Cursor, answer.Snapshot = h.journal.Snapshot(func(name string) bool {
			return allowed(o.Filter, o.Access, name)
		})
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil, Subscribed{}, ErrClosed
	}
	if !answer.Recovered && !snapshot {
		answer.Cursor.Offset = h.position
	}
	s := &Subscription{hub: h, allow: o.Access.Allow, notify: o.Notify, place: notWaiting}
	s.cursor.Store(answer.Cursor.Offset)
	s.group = h.join(o)
	h.stats.Subscriptions++
	s.group.mu.Lock()
	if answer.Cursor.Offset < s.group.to {
		h.fresh = append(h.fresh, s)
		h.wake()
	} else {
		s.group.wait(s)
	}
	s.group.mu.Unlock()
	return s, answer, nil
}

// whyNot returns why a cursor cannot be continued, or "".
func (h *Hub) whyNot(since *journal.Cursor) string {
	switch {
	case since == nil:
		return ReasonNoCursor
	case since.Epoch != h.journal.Epoch():
		return ReasonEpoch
	case since.Offset > h.journal.Head().Offset:
		return ReasonAhead
	case since.Offset+1 < h.journal.First():
		return ReasonEvicted
	}
	return ""
}

// join finds or makes the group of a subscription. Called with h.mu held.
func (h *Hub) join(o SubscribeOptions) *group {
	key := groupKey{filter: o.Filter, access: o.Access.Key}
	g := h.groups[key]
	if g == nil {
		key = groupKey{filter: strings.Clone(o.Filter), access: strings.Clone(o.Access.Key)}
		g = &group{key: key, access: o.Access, to: h.position}
		h.groups[key] = g
		h.routes.add(key.filter, g)
	} else if g.to < h.position {
		// Batches have to begin where a newcomer does. The others take the empty
		// one along with the next.
		g.mu.Lock()
		h.stats.RingBytes += g.push(kept{Batch: newBatch(h.journal.Epoch(), g.to, h.position, 0, nil)}, h.opts.RingBytes)
		g.mu.Unlock()
	}
	g.subscribers++
	return g
}

// Close ends the subscription; its group goes with its last one. Notify may still
// be running and may fire once more. It may be called more than once.
func (s *Subscription) Close() {
	if s.closed.Swap(true) {
		return
	}
	h, g := s.hub, s.group
	h.mu.Lock()
	defer h.mu.Unlock()
	g.mu.Lock()
	g.unwait(s)
	g.mu.Unlock()
	h.stats.Subscriptions--
	if g.subscribers--; g.subscribers == 0 {
		delete(h.groups, g.key)
		h.routes.remove(g.key.filter, g)
		g.mu.Lock()
		h.stats.RingBytes -= g.reset(g.to)
		g.mu.Unlock()
	}
}

// Cursor returns the offset up to which everything was pulled.
func (s *Subscription) Cursor() uint64 { return s.cursor.Load() }

// Lag returns how many entries of the journal lie between the cursor and the
// head, whatever the filter.
func (s *Subscription) Lag() uint64 {
	cursor, head := s.cursor.Load(), s.hub.journal.Head().Offset
	return max(head, cursor) - cursor
}

// Pull takes what is ready: at least one batch and otherwise up to maxBytes of
// bodies, or one gap, which comes alone and precedes what follows. It never waits
// for messages, but may read the journal. more says that another Pull would look
// further; when it is false Notify fires as soon as there is something.
func (s *Subscription) Pull(maxBytes int) (batches []Batch, gap *Gap, more bool) {
	return s.PullInto(nil, maxBytes)
}

// PullInto is [Subscription.Pull] that appends to dst, so that a viewer who keeps
// up costs no allocation.
func (s *Subscription) PullInto(dst []Batch, maxBytes int) (batches []Batch, gap *Gap, more bool) {
	if s.closed.Load() {
		return dst, nil, false
	}
	g, cursor := s.group, s.cursor.Load()
	g.mu.Lock()
	if cursor >= g.to {
		g.wait(s)
		g.mu.Unlock()
		return dst, nil, false
	}
	i, found, limit := g.find(cursor)
	if !found {
		g.mu.Unlock()
		return s.catchUp(dst, cursor, limit, maxBytes)
	}
	for start, room := len(dst), maxBytes; i < len(g.ring); i++ {
		b := &g.ring[i]
		if room -= len(b.Body); room < 0 && len(dst) > start {
			break
		}
		if !s.maySee(b.topics) {
			if len(dst) > start {
				break
			}
			g.mu.Unlock()
			return s.catchUp(dst, cursor, b.To, maxBytes) // without what is denied by now
		}
		dst = append(dst, b.Batch)
		cursor = b.To
	}
	s.cursor.Store(cursor)
	if more = cursor < g.to; !more {
		g.wait(s)
	}
	g.mu.Unlock()
	return dst, nil, more
}

// maySee asks the access list again, since a batch may be pulled long after it
// was encoded.
func (s *Subscription) maySee(topics []string) bool {
	if s.allow == nil {
		return true
	}
	for _, name := range topics {
		if !s.allow(name) {
			return false
		}
	}
	return true
}

// What one Pull reads of the journal at most, so that many who catch up share.
const (
	catchUpEntries = 4096
	catchUpChunk   = 512
	catchUpBytes   = 256 << 10
)

// catchUp encodes batches for this subscription alone, from the journal, up to
// limit, where the group's batches take over.
func (s *Subscription) catchUp(dst []Batch, from, limit uint64, maxBytes int) ([]Batch, *Gap, bool) {
	h := s.hub
	if !h.catchUp.take(s) {
		return dst, nil, false
	}
	defer h.giveSlot()
	h.catchUps.Add(1)
	c := collector{epoch: h.journal.Epoch(), out: dst, from: from, at: from, most: maxBytes, batch: h.opts.BatchBytes}
	var entries []journal.Entry
	for scanned := 0; c.at < limit && scanned < catchUpEntries && !c.full; scanned += len(entries) {
		var err error
		want := int(min(catchUpChunk, limit-c.at))
		entries, err = h.journal.ReadInto(entries[:0], c.at, want, catchUpBytes)
		var gone journal.ErrEvicted
		if errors.As(err, &gone) {
			if c.at > from {
				break // first what could be read
			}
			return dst, s.declare(from, min(gone.First-1, limit)), true
		}
		if err != nil || len(entries) == 0 {
			return dst, nil, s.stuck(err)
		}
		s.collect(&c, entries)
	}
	c.finish()
	s.cursor.Store(c.at)
	return c.out, nil, true
}

// collect encodes what the subscription may see of entries.
func (s *Subscription) collect(c *collector, entries []journal.Entry) {
	access := Access{Allow: s.allow}
	for i := range entries {
		e := &entries[i]
		if !topic.Match(s.group.key.filter, e.Topic) {
			c.at = e.Offset
			continue
		}
		if !allowed(s.group.key.filter, access, e.Topic) {
			s.hub.denied.Add(1)
			c.at = e.Offset
			continue
		}
		if c.add(e); c.full {
			return
		}
	}
}

// declare moves the cursor over what is gone.
func (s *Subscription) declare(from, to uint64) *Gap {
	s.hub.gaps.Add(1)
	s.cursor.Store(to)
	return &Gap{From: from, To: to, Count: to - from, Reason: ReasonEvicted}
}

// stuck handles a journal that cannot be read right now: the next live batch
// makes the viewer try again, and so does the hub's progress.
func (s *Subscription) stuck(err error) (more bool) {
	h := s.hub
	h.opts.Log.Warn("subscription cannot read the journal, waiting", "cursor", s.Cursor(), "error", err)
	s.group.mu.Lock()
	s.group.wait(s)
	s.group.mu.Unlock()
	h.mu.Lock()
	if !s.retries {
		s.retries = true
		h.stuck = append(h.stuck, s)
	}
	h.mu.Unlock()
	return false
}

// collector builds the batches of one catch-up.
type collector struct {
	epoch    string
	out      []Batch
	from     uint64 // where the batch being built begins
	at       uint64 // everything up to here is in a batch or in readings
	readings []byte
	count    int
	bytes    int // in out
	batch    int // size of a batch
	most     int // size of all
	full     bool
}

// add takes one entry along. It closes the batch before when the entry does not
// fit, and sets full, without taking the entry, when no more is wanted.
func (c *collector) add(e *journal.Entry) {
	mark := len(c.readings)
	if c.count > 0 {
		c.readings = append(c.readings, ',')
	}
	c.readings = AppendReading(c.readings, *e)
	if c.count > 0 && len(c.readings) > c.batch {
		c.readings = c.readings[:mark]
		c.at = e.Offset - 1
		c.finish()
		if c.full = c.bytes >= c.most; c.full {
			return
		}
		c.readings = AppendReading(c.readings, *e)
	}
	c.count++
	c.at = e.Offset
}

// finish makes a batch of what was collected, empty or not.
func (c *collector) finish() {
	if c.at == c.from {
		return
	}
	c.out = append(c.out, newBatch(c.epoch, c.from, c.at, c.count, c.readings))
	c.bytes += len(c.readings)
	c.from, c.readings, c.count = c.at, c.readings[:0], 0
}

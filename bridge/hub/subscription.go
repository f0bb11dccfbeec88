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

	// Owned by Pull, and used when the group conflates only.
	count count
}

const notWaiting = -1

// Subscribe adds a subscription. Its stream begins after the returned cursor, and
// its first batch does, without a hole and without repeating the snapshot. A
// cursor to resume from is recovered whole or not at all: then the stream starts
// at the present and Reason says why. Errors: an invalid filter, an access list
// without a key, [ErrClosed]. It may wait for the loop for about a millisecond, and as long as [Options].Await does.
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
	if s := o.Since; h.opts.Await != nil && s != nil && s.Epoch == h.journal.Epoch() && s.Offset > h.journal.Head().Offset {
		h.opts.Await(s.Offset)
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
	s := &Subscription{hub: h, allow: o.Access.Allow, notify: o.Notify, place: notWaiting}
	s.group = h.join(o)
	h.stats.Subscriptions++
	g := s.group
	g.mu.Lock()
	if !answer.Recovered && !snapshot {
		answer.Cursor.Offset = g.to
		s.count = count{known: true, sent: g.sent, skips: g.skips}
	}
	s.cursor.Store(answer.Cursor.Offset)
	if answer.Cursor.Offset < g.to {
		h.fresh = append(h.fresh, s)
		h.wake()
	} else {
		g.wait(s)
	}
	g.mu.Unlock()
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
	key := groupKey{o.Filter, o.Access.Key, max(o.Every, 0), o.Format}
	g := h.groups[key]
	if g == nil {
		key.filter, key.access = strings.Clone(key.filter), strings.Clone(key.access)
		g = &group{key: key, access: o.Access, to: h.position, batch: Readings{Format: o.Format}}
		if key.every > 0 {
			g.late = new(conflator)
		}
		h.groups[key] = g
		h.routes.add(key.filter, g)
	} else {
		// Batches have to begin where a newcomer does. The others take the empty
		// one along with the next. A group that holds entries has a newcomer begin
		// where they do.
		h.align(g)
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
		if g.late != nil {
			h.held -= g.late.forget()
		}
	}
}

// Cursor returns the offset up to which everything was pulled.
func (s *Subscription) Cursor() uint64 { return s.cursor.Load() }

// Open reports whether the last batch pulled was open. It must not be called
// concurrently with Pull.
func (s *Subscription) Open() bool { return s.count.open }

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
	if !found || s.count.open {
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
			limit = edge{b.To, b.after, g.skips, false}
			g.mu.Unlock()
			return s.catchUp(dst, cursor, limit, maxBytes) // without what is denied by now
		}
		dst = append(dst, b.Batch)
		cursor = b.To
		s.count = count{known: true, sent: b.after, skips: g.skips}
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
func (s *Subscription) catchUp(dst []Batch, from uint64, limit edge, maxBytes int) ([]Batch, *Gap, bool) {
	h := s.hub
	if !h.catchUp.take(s) {
		return dst, nil, false
	}
	defer h.giveSlot()
	h.catchUps.Add(1)
	if s.group.late != nil {
		return s.conflateUp(dst, from, limit, maxBytes)
	}
	c := collector{printer: h.printer(s.group.key.format), out: dst, from: from, at: from, most: maxBytes}
	c.readings = Readings{Format: c.printer.format, base: from}
	err := s.readUp(from, limit.offset, func(e *journal.Entry, wanted bool) (more bool) {
		if !wanted {
			c.at = e.Offset
			return true
		}
		c.add(e)
		return !c.full
	})
	if err != nil && c.at == from {
		return s.couldNotRead(dst, from, limit.offset, err)
	}
	c.finish()
	s.cursor.Store(c.at)
	return c.out, nil, true
}

// errNoEntries: the journal gave nothing where it has something.
var errNoEntries = errors.New("hub: the journal gave no entries")

// readUp hands entries of (from, limit] to take, a bounded number of them, until
// it wants no more. wanted says that the subscription may see the entry. An error
// may follow entries.
func (s *Subscription) readUp(from, limit uint64, take func(e *journal.Entry, wanted bool) (more bool)) error {
	h, filter, at := s.hub, s.group.key.filter, from
	var entries []journal.Entry
	for scanned := 0; at < limit && scanned < catchUpEntries; scanned += len(entries) {
		var err error
		entries, err = h.journal.ReadInto(entries[:0], at, int(min(catchUpChunk, limit-at)), catchUpBytes)
		if err == nil && len(entries) == 0 {
			err = errNoEntries
		}
		if err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			wanted := topic.Match(filter, e.Topic)
			if wanted && s.allow != nil && !s.allow(e.Topic) {
				h.denied.Add(1)
				wanted = false
			}
			if !take(e, wanted) {
				return nil
			}
			at = e.Offset
		}
	}
	return nil
}

// couldNotRead says why a catch-up got nothing: a gap when what it needs is gone,
// else it is tried again.
func (s *Subscription) couldNotRead(dst []Batch, from, limit uint64, err error) ([]Batch, *Gap, bool) {
	var gone journal.ErrEvicted
	if errors.As(err, &gone) {
		return dst, s.declare(from, min(gone.First-1, limit)), true
	}
	return dst, nil, s.stuck(err)
}

// declare moves the cursor over what is gone.
func (s *Subscription) declare(from, to uint64) *Gap {
	s.hub.gaps.Add(1)
	s.cursor.Store(to)
	s.count = count{}
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
	printer  printer
	out      []Batch
	from     uint64 // where the batch being built begins
	at       uint64 // everything up to here is in a batch or in readings
	readings Readings
	bytes    int // in out
	most     int // size of all
	full     bool
}

// add takes one entry along. It closes the batch before when the entry does not
// fit, and sets full, without taking the entry, when no more is wanted.
func (c *collector) add(e *journal.Entry) {
	part, name := c.printer.write(e)
	if c.readings.Count > 0 && c.readings.Len()+len(part) > c.printer.limit {
		c.at = e.Offset - 1
		c.finish()
		if c.full = c.bytes >= c.most; c.full {
			return
		}
	}
	c.readings.add(e, part, name)
	c.at = e.Offset
}

// finish makes a batch of what was collected, empty or not.
func (c *collector) finish() {
	if c.at == c.from {
		return
	}
	c.out = append(c.out, c.printer.batch(span{from: c.from, to: c.at}, &c.readings))
	c.bytes += c.readings.Len()
	c.from = c.at
	c.readings.reset(c.at)
}

package hub

import "plumbline/bridge/journal"

// count is what a subscription that conflates knows of the entries that were let
// through, beside its cursor.
type count struct {
	known bool   // the next two are right
	sent  uint64 // group.sent at the cursor, or, while open, where the open part begins
	skips int    // group.skips then
	open  bool   // batches were given whose conflated entries are not told yet
	taken uint64 // readings in those
}

// conflateUp gives the present to who is behind: from the last values when the
// group's batches are too far ahead and the count is known, else from the journal,
// a part at a time.
func (s *Subscription) conflateUp(dst []Batch, from uint64, limit edge, maxBytes int) ([]Batch, *Gap, bool) {
	if s.count.known && s.count.skips != limit.skips { // the hub itself lost the count
		open := s.count.open
		s.count = count{}
		if open {
			return dst, s.declare(from, from), true
		}
	}
	if limit.far && s.count.known {
		entries, upTo, whole, ok := s.hub.journal.Changes(from, s.maySeeTopic, maxBytes)
		if ok && upTo > from {
			var sent uint64
			if whole {
				sent, whole = s.sentAt(upTo)
			}
			return s.give(dst, from, upTo, entries, sent, whole), nil, true
		}
	}
	return s.conflateRead(dst, from, limit, maxBytes)
}

// maySeeTopic tells whether the subscription delivers a topic.
func (s *Subscription) maySeeTopic(name string) bool {
	return allowed(s.group.key.filter, Access{Allow: s.allow}, name)
}

// give makes batches of the newest entries in (from, to]. All are open, but the
// last ends the open part when closes says that sent is group.sent at to.
func (s *Subscription) give(dst []Batch, from, to uint64, entries []journal.Entry, sent uint64, closes bool) []Batch {
	p := s.hub.printer(s.group.key.format)
	r := Readings{Format: p.format, base: from}
	flush := func(sp span) {
		sp.from, sp.conflates = from, true
		dst = append(dst, p.batch(sp, &r))
		from = sp.to
		r.reset(from)
	}
	last := from
	for i := range entries {
		e := &entries[i]
		part, name := p.write(e)
		if r.Count > 0 && r.Len()+len(part) > p.limit {
			flush(span{to: last, open: true})
		}
		r.add(e, part, name)
		last = e.Offset
	}
	given := s.count.taken + uint64(len(entries))
	if !closes {
		s.count.open, s.count.taken = true, given
		flush(span{to: to, open: true})
	} else {
		all := sent - s.count.sent
		s.count = count{known: true, sent: sent, skips: s.count.skips}
		flush(span{to: to, conflated: all - min(all, given)}) // an access list that changed meanwhile may make given the larger
	}
	s.cursor.Store(to)
	return dst
}

// sentAt returns group.sent at an offset near the hub's position, which it counts
// from the journal.
func (s *Subscription) sentAt(offset uint64) (sent uint64, ok bool) {
	h, g := s.hub, s.group
	h.mu.Lock()
	position, now := h.position, g.late.matched
	ok = g.skips == s.count.skips
	h.mu.Unlock()
	low, high := min(position, offset), max(position, offset)
	if !ok || high-low > catchUpEntries/2 {
		return 0, false
	}
	n, at := uint64(0), low
	err := s.readUp(low, high, func(e *journal.Entry, wanted bool) bool {
		if at = e.Offset; wanted {
			n++
		}
		return true
	})
	if err != nil || at < high {
		return 0, false
	}
	if offset < position {
		return now - n, true
	}
	return now + n, true
}

// conflateRead makes batches of a part of the journal that leads to limit.
func (s *Subscription) conflateRead(dst []Batch, from uint64, limit edge, maxBytes int) ([]Batch, *Gap, bool) {
	var c conflator
	at := from
	err := s.readUp(from, limit.offset, func(e *journal.Entry, wanted bool) bool {
		if at = e.Offset; wanted {
			c.add(e)
		}
		return c.bytes < int64(maxBytes)
	})
	if at == from {
		return s.couldNotRead(dst, from, limit.offset, err)
	}
	arrived := at == limit.offset
	if s.count.open {
		return s.give(dst, from, at, c.newest(), limit.sent, arrived), nil, true
	}
	s.count.sent += c.matched
	c.drain(s.hub.printer(s.group.key.format), from, at, 0, func(b Batch, _ []string, _ uint64) { dst = append(dst, b) })
	if arrived {
		s.count = count{known: true, sent: limit.sent, skips: limit.skips}
	}
	s.cursor.Store(at)
	return dst, nil, true
}

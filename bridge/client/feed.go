package client

import "fmt"

// feed is what one session knows of one subscription. The keeper makes it before it sends the command; from then on it belongs
// to the reader.
type feed struct {
	sub   *Subscription
	asked *Cursor // the since of the command

	stands     bool   // subok came
	delivered  uint64 // readings in batches of this session
	conflated  uint64 // messages left out, as batches of this session say
	missing    uint64 // counts of gaps of this session
	part, many int    // of the snapshot: the last one that came, and how many there are
}

func broken(format string, args ...any) error {
	return fmt.Errorf("client: %w: %w", ErrBroken, fmt.Errorf(format, args...))
}

// take applies one message. Its error wraps ErrBroken when the message cannot follow what came before, and is errOver when the
// session ended meanwhile.
func (f *feed) take(ses *session, kind string, m message) error {
	if kind == "subok" {
		return f.start(ses, m)
	}
	if !f.stands {
		return broken("%s before subok", kind)
	}
	switch kind {
	case "snapshot":
		return f.snapshot(ses, m)
	case "gap":
		return f.gap(ses, m)
	}
	return f.batch(ses, m)
}

func (f *feed) put(ses *session, st step) error {
	if !f.sub.put(ses, st) {
		return errOver
	}
	return nil
}

// start takes subok.
func (f *feed) start(ses *session, m message) error {
	at, ok := m.cursor("offset")
	recovered, ok2 := m.flag("recovered")
	switch {
	case f.stands:
		return broken("subok twice")
	case !ok || !ok2:
		return broken("subok without epoch, offset or recovered")
	case recovered && (f.asked == nil || *f.asked != at):
		return broken("recovered at %s, asked for %s", at, f.wanted())
	}
	f.stands = true
	if recovered {
		return f.put(ses, step{Update: Update{Kind: KindStart, Recovered: true}, at: at})
	}
	s := f.sub
	s.mu.Lock()
	before, half := s.at, s.half
	s.mu.Unlock()
	if !before.IsZero() && before != at {
		gap := Gap{From: before, To: at, Reason: ReasonSnapshot}
		if !half {
			gap.Reason, _ = m.text("reason")
		}
		if before.Epoch == at.Epoch && at.Offset > before.Offset {
			gap.Count = at.Offset - before.Offset
		}
		if err := f.put(ses, step{Update: Update{Kind: KindGap, Gap: gap}, at: at, half: s.opts.Snapshot}); err != nil {
			return err
		}
	}
	return f.put(ses, step{Update: Update{Kind: KindStart}, at: at, half: s.opts.Snapshot})
}

func (f *feed) wanted() string {
	if f.asked == nil {
		return "no cursor"
	}
	return f.asked.String()
}

// place returns where the subscription is. Only the reader moves it.
func (f *feed) place() (at Cursor, half bool) {
	f.sub.mu.Lock()
	defer f.sub.mu.Unlock()
	return f.sub.at, f.sub.half
}

func (f *feed) snapshot(ses *session, m message) error {
	at, half := f.place()
	part, ok := m.whole("part")
	parts, ok2 := m.whole("parts")
	if !half {
		return broken("a snapshot that was not due")
	}
	if !ok || !ok2 || part != uint64(f.part)+1 || part > parts || f.many > 0 && parts != uint64(f.many) {
		return broken("part %s of %s of a snapshot after part %d of %d", m["part"], m["parts"], f.part, f.many)
	}
	readings, err := m.readings()
	if err != nil {
		return err
	}
	for _, r := range readings {
		if r.Offset > at.Offset {
			return broken("a snapshot at %d holds the reading %d", at.Offset, r.Offset)
		}
	}
	f.part, f.many = int(part), int(parts)
	last := part == parts
	return f.put(ses, step{Update: Update{Kind: KindSnapshot, Readings: readings, Last: last}, at: at, half: !last})
}

// interval reads from and to and holds them to the chain (PROTOCOL.md section 3, rule 1).
func (f *feed) interval(m message) (from, to Cursor, err error) {
	at, half := f.place()
	begin, ok := m.whole("from")
	end, ok2 := m.whole("to")
	switch {
	case half:
		return at, at, broken("readings before the snapshot is complete")
	case !ok || !ok2 || end < begin:
		return at, at, broken("the interval (%s,%s]", m["from"], m["to"])
	case begin != at.Offset:
		return at, at, broken("the interval (%d,%d] after the cursor %d", begin, end, at.Offset)
	}
	return at, Cursor{at.Epoch, end}, nil
}

func (f *feed) batch(ses *session, m message) error {
	from, to, err := f.interval(m)
	if err != nil {
		return err
	}
	if epoch, _ := m.text("epoch"); epoch != from.Epoch {
		return broken("a batch of the epoch %.40q, subscribed in %.40q", epoch, from.Epoch)
	}
	readings, err := m.readings()
	if err != nil {
		return err
	}
	before := from.Offset
	for _, r := range readings {
		if r.Offset <= before || r.Offset > to.Offset {
			return broken("the reading %d behind %d in the interval (%d,%d]", r.Offset, before, from.Offset, to.Offset)
		}
		before = r.Offset
	}
	conflated, open, err := f.leftOut(m)
	if err != nil {
		return err
	}
	f.delivered += uint64(len(readings))
	f.conflated += conflated
	return f.put(ses, step{Update: Update{Kind: KindData, Readings: readings, Conflated: conflated, Open: open}, at: to})
}

// leftOut reads what a batch says of messages that newer ones replaced (PROTOCOL.md section 3.1).
func (f *feed) leftOut(m message) (conflated uint64, open bool, err error) {
	_, counted := m["conflated"]
	open, ok := m.flag("open")
	if counted {
		var whole bool
		conflated, whole = m.whole("conflated")
		ok = ok && whole
	}
	if !ok || counted && open || (counted || open) != f.sub.opts.conflates() {
		return 0, false, broken("a batch with conflated %s, open %s in the mode %q", m["conflated"], m["open"], f.sub.opts.Mode)
	}
	return conflated, open, nil
}

func (f *feed) gap(ses *session, m message) error {
	from, to, err := f.interval(m)
	if err != nil {
		return err
	}
	count, ok := m.whole("count")
	reason, _ := m.text("reason")
	if !ok {
		return broken("a gap without its count")
	}
	if count != to.Offset-from.Offset { // every entry of it, matching or not (PROTOCOL.md section 2.4)
		return broken("a gap of %d entries in the interval (%d,%d]", count, from.Offset, to.Offset)
	}
	f.missing += count
	return f.put(ses, step{Update: Update{Kind: KindGap, Gap: Gap{From: from, To: to, Count: count, Reason: reason}}, at: to})
}

// account is what a heartbeat says, by subscription.
type account struct{ cursors, delivered, gaps, conflations map[int64]uint64 }

// audit compares the bridge's account with what came. One that leaves the subscription out is of a bridge that does not know it
// any more.
func (f *feed) audit(id int64, a account) error {
	at, _ := f.place()
	if !f.stands {
		return nil
	}
	for _, one := range []struct {
		what string
		said map[int64]uint64
		have uint64
	}{{"cursor", a.cursors, at.Offset}, {"readings", a.delivered, f.delivered}, {"missing entries", a.gaps, f.missing}, {"conflated", a.conflations, f.conflated}} {
		said, ok := one.said[id]
		if !ok && one.what == "conflated" && !f.sub.opts.conflates() {
			continue
		}
		if !ok || said != one.have {
			return broken("the heartbeat says %s %d (%v), here it is %d", one.what, said, ok, one.have)
		}
	}
	return nil
}

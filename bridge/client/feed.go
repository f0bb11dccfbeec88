package client

import "fmt"

// feed is what one session knows of one subscription. The keeper makes it before it sends the command; from then on it belongs
// to the reader.
type feed struct {
	sub   *Subscription
	asked *Cursor // the since of the command

	stands     bool   // subok came
	delivered  uint64 // readings in batches of this session
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
	f.delivered += uint64(len(readings))
	return f.put(ses, step{Update: Update{Kind: KindData, Readings: readings}, at: to})
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
	f.missing += count
	return f.put(ses, step{Update: Update{Kind: KindGap, Gap: Gap{From: from, To: to, Count: count, Reason: reason}}, at: to})
}

// audit compares the bridge's account in a heartbeat with what came.
func (f *feed) audit(id int64, cursors, delivered, gaps map[int64]uint64) error {
	at, _ := f.place()
	if !f.stands {
		return nil
	}
	for _, one := range []struct {
		what string
		said map[int64]uint64
		have uint64
	}{{"cursor", cursors, at.Offset}, {"readings", delivered, f.delivered}, {"missing entries", gaps, f.missing}} {
		if said, ok := one.said[id]; ok && said != one.have {
			return broken("the heartbeat says %s %d, here it is %d", one.what, said, one.have)
		}
	}
	return nil
}

package main

import (
	"encoding/json"
	"slices"
	"time"
)

// stream is one subscription on its way to a viewer. Readings leave it in the
// order of their times, which is that of the bridge unless the flaw delays some;
// the k-th to leave has the k-th offset, so that the chain of intervals holds
// whatever the order: a bridge that mixes up messages numbers them afterwards.
type stream struct {
	id        uint64
	filter    string
	resumed   bool // began with a cursor that the bridge could continue from
	began     time.Time
	epoch     string
	at        uint64 // how far the viewer has got
	upTo      uint64 // how far the bridge has got
	slots     []uint64
	waiting   []reading
	last      map[string]time.Time // by topic: when the last reading is due
	delivered uint64
	missed    uint64 // entries that the flaw declared missing
	seen      uint64 // readings of the bridge so far
	pass      bool   // conflating: batches are passed on as they come
	state     any    // of the flaw
}

// subscribed opens a stream.
func (s *session) subscribed(f frame) error {
	var ok subok
	if json.Unmarshal(f.payload, &ok) != nil {
		return s.toViewer(f)
	}
	s.mu.Lock()
	asked := s.subs[ok.ID]
	delete(s.subs, ok.ID)
	s.mu.Unlock()
	st := &stream{
		id: ok.ID, filter: ok.Filter, resumed: ok.Recovered, began: time.Now(), epoch: ok.Epoch, at: ok.Offset, upTo: ok.Offset,
		last: map[string]time.Time{}, pass: ok.Mode == "latest" || ok.Mode == "sample",
	}
	if asked != nil && asked.Since != nil && ok.Recovered && ok.Offset != asked.Since.Offset {
		// The flaw has the bridge continue elsewhere; the viewer must not know.
		ok.Offset, st.at = asked.Since.Offset, asked.Since.Offset
	}
	s.streams[ok.ID] = st
	if s.f.flaw.subscribed != nil {
		s.f.flaw.subscribed(s, st)
	}
	return s.toViewer(textFrame(encode(ok)))
}

// batch takes in a batch of the bridge and sends what is due.
func (s *session) batch(f frame) error {
	var b batch
	if json.Unmarshal(f.payload, &b) != nil {
		return s.toViewer(f)
	}
	st := s.streams[b.ID]
	if st == nil {
		return s.toViewer(f)
	}
	if st.pass {
		st.at, st.upTo, st.delivered = b.To, b.To, st.delivered+uint64(len(b.Readings))
		return s.toViewer(f)
	}
	if b.Epoch != st.epoch {
		if err := s.flush(); err != nil {
			return err
		}
		st.epoch, st.at = b.Epoch, b.From
	}
	for i := range b.Readings {
		st.slots = append(st.slots, b.Readings[i].O)
	}
	rs := b.Readings
	if s.f.flaw.arrive != nil {
		rs = s.f.flaw.arrive(s, st, rs)
	}
	st.seen += uint64(len(b.Readings))
	st.upTo = b.To
	for _, r := range rs {
		if !r.free {
			if last := st.last[r.Topic]; last.After(r.due) {
				r.due = last
			} else if !r.due.IsZero() {
				st.last[r.Topic] = r.due
			}
		}
		st.waiting = append(st.waiting, r)
	}
	if len(st.waiting) > 0 && len(rs) > 0 {
		slices.SortStableFunc(st.waiting, func(a, b reading) int { return a.due.Compare(b.due) })
	}
	return s.send(st, time.Now(), true)
}

// send sends what is due. An interval without readings is worth a message only
// when the bridge sent one.
func (s *session) send(st *stream, now time.Time, empty bool) error {
	n := 0
	for n < len(st.waiting) && !st.waiting[n].due.After(now) {
		n++
	}
	if n == 0 && (!empty || len(st.waiting) > 0 || st.at == st.upTo) {
		return nil
	}
	out := batch{Type: "batch", ID: st.id, Epoch: st.epoch, From: st.at, Readings: slices.Clone(st.waiting[:n])}
	st.waiting = slices.Delete(st.waiting, 0, n)
	st.number(out.Readings)
	out.To = st.upTo
	if len(st.waiting) > 0 {
		out.To = out.From
		if n > 0 {
			out.To = max(out.From, out.Readings[n-1].O)
		}
	} else {
		st.slots = st.slots[:0]
	}
	if out.Readings == nil {
		out.Readings = []reading{}
	}
	st.at, st.delivered = out.To, st.delivered+uint64(n)
	return s.toViewer(textFrame(encode(out)))
}

// number gives readings that leave the next offsets. Where some were dropped or
// added they keep their own: there the k-th to leave is not the k-th to come.
func (st *stream) number(rs []reading) {
	if len(st.slots) != len(rs)+len(st.waiting) {
		return
	}
	for i := range rs {
		rs[i].O = st.slots[i]
	}
	st.slots = slices.Delete(st.slots, 0, len(rs))
}

// flush sends everything that waits.
func (s *session) flush() error {
	return s.deliver(time.Now().Add(24 * time.Hour))
}

func (s *session) deliver(now time.Time) error {
	for _, st := range s.streams {
		if err := s.send(st, now, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) nextDue() (at time.Time, any bool) {
	for _, st := range s.streams {
		if len(st.waiting) > 0 && (!any || st.waiting[0].due.Before(at)) {
			at, any = st.waiting[0].due, true
		}
	}
	return at, any
}

// gap passes a gap on after what came before it.
func (s *session) gap(f frame) error {
	if err := s.flush(); err != nil {
		return err
	}
	var g struct{ ID, To uint64 }
	if json.Unmarshal(f.payload, &g) == nil && s.streams[g.ID] != nil {
		s.streams[g.ID].at, s.streams[g.ID].upTo = g.To, g.To
	}
	return s.toViewer(f)
}

// snapshot lets the flaw change the last values.
func (s *session) snapshot(f frame) error {
	var snap snapshot
	if json.Unmarshal(f.payload, &snap) != nil {
		return s.toViewer(f)
	}
	if s.f.flaw.snapshot != nil && !s.f.flaw.snapshot(s, &snap) {
		return nil
	}
	if snap.Readings == nil {
		snap.Readings = []reading{}
	}
	return s.toViewer(textFrame(encode(snap)))
}

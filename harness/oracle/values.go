package oracle

import (
	"fmt"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// Shown is what a viewer that came late was first given of one device whose
// messages are retained.
type Shown struct {
	Viewer, Device string
	At             int64         // the viewer was connected
	Newest         uint64        // newest retained position that the broker had acknowledged by then
	First          uint64        // position it was given first, 0 when it was given none
	Took           time.Duration // from At to the first value that was not older than Newest
	Current        bool          // there was one
	Marked         bool          // the first value came as a last value, told from live ones
}

// Shown returns what each selected viewer was given after it had connected for
// the first time, for every device that it may see and that had a retained value
// by then. Only own payloads tell their position; others are left out.
func (h *History) Shown(o Options) (list []Shown) {
	s := h.choose(o)
	for _, n := range s.viewers {
		at := h.connected(h.viewers[n].name)
		if at == 0 {
			continue
		}
		first := map[uint32]*Shown{}
		for _, id := range s.streams {
			if newest := h.newestRetained(id, at); newest > 0 && h.viewers[n].streams[id].owed {
				first[uint32(id)] = &Shown{Viewer: h.viewers[n].name, Device: h.device(uint32(id)), At: at, Newest: newest}
			}
		}
		h.follow(uint16(n), first)
		for _, id := range s.streams {
			if shown := first[uint32(id)]; shown != nil {
				list = append(list, *shown)
			}
		}
	}
	return list
}

// follow enters the arrivals of one viewer.
func (h *History) follow(node uint16, first map[uint32]*Shown) {
	for i := range h.log.Records {
		r := &h.log.Records[i]
		shown := first[r.Stream]
		if r.Node != node || shown == nil || r.Seq == 0 || (r.Kind != record.Received && r.Kind != record.Restored) {
			continue
		}
		if shown.First == 0 {
			shown.First = r.Seq
			shown.Marked = r.Kind == record.Restored || r.Flags&record.FlagRetained != 0
		}
		if !shown.Current && r.Seq >= shown.Newest {
			shown.Current, shown.Took = true, time.Duration(r.At-shown.At)
		}
	}
}

// connected returns when a viewer was first let in, 0 when it never was.
func (h *History) connected(name string) int64 {
	for _, e := range h.events {
		if e.Kind == record.Connected && e.Subject == name {
			return max(e.At, 1)
		}
	}
	return 0
}

// newestRetained returns the largest position that was published to be retained
// and acknowledged before an instant; 0 when there was none.
func (h *History) newestRetained(id int, before int64) uint64 {
	messages := h.streams[id].messages
	for i := len(messages) - 1; i >= 0; i-- {
		if m := &messages[i]; m.retained && m.acked != 0 && m.acked < before {
			return uint64(i) + 1
		}
	}
	return 0
}

// Final is the last message of one device in one judged window at one viewer.
type Final struct {
	Viewer, Device string
	Window         string
	Due            int64
	Took           time.Duration // from Due to its arrival
	Arrived        bool
}

// Finals returns the last message of every device in every judged window, for
// each viewer that is to get it. A finding tells of each that never came.
func (h *History) Finals(o Options) (list []Final, found []reports.Finding) {
	s := h.choose(o)
	missing := h.newFindings(&s)
	for _, w := range s.windows {
		one := s
		one.windows = []window{w}
		for _, id := range s.streams {
			seq := h.last(&one, id)
			if seq == 0 {
				continue
			}
			m := h.at(uint32(id), seq)
			for _, n := range s.viewers {
				v := &h.viewers[n]
				if !v.owes(id, m) {
					continue
				}
				f := Final{Viewer: v.name, Device: h.device(uint32(id)), Window: w.subject, Due: m.due}
				if at, ok := h.arrival(v, id, seq); ok {
					f.Took, f.Arrived = time.Duration(at-m.due), true
				} else {
					missing.lost(v, n, id, seq, m, h.wasLost(id, m, o.BrokerInside))
				}
				list = append(list, f)
			}
		}
	}
	return list, missing.all()
}

// last returns the position of the last message of a stream that was written in
// the windows, 0 when there was none.
func (h *History) last(s *selection, id int) (seq uint64) {
	messages := h.streams[id].messages
	for i := range messages {
		if m := &messages[i]; m.wasSent() && s.covers(m.due) {
			seq = uint64(i) + 1
		}
	}
	return seq
}

// Stale is the account of how long viewers showed an older value although a
// newer one had been sampled.
type Stale struct {
	Values  int64         // messages × viewers that were looked at
	Longest time.Duration // of those that ended, and in which the rig itself ran
	Excused int64         // longer than the limit, while the rig itself did not run
}

// Stale measures, for every message and viewer, how long after its intended
// instant that message or a newer one of its device arrived: until then the
// viewer showed an older value. Unlike a latency it does not ask for every
// message, so a system that conflates is judged by what it shows. Only what was
// written counts. Findings tell of those above the limit; a value that nothing
// ever took the place of is one too. What the rig itself may have held up (see
// Standstills.Excused) is not held against the system.
func (h *History) Stale(o Options, limit time.Duration, stood Standstills) (Stale, []reports.Finding) {
	s := h.choose(o)
	list := h.newFindings(&s)
	a := staleness{history: h, selection: &s, limit: limit, list: list, stood: stood}
	for _, n := range s.viewers {
		for _, id := range s.streams {
			if h.viewers[n].streams[id].owed {
				a.walk(n, id)
			}
		}
	}
	return a.Stale, list.all()
}

// staleness is Stale at work.
type staleness struct {
	Stale
	history   *History
	selection *selection
	limit     time.Duration
	stood     Standstills
	list      *findings
}

// walk looks at one stream at one viewer from its end, where the earliest
// arrival of all later messages is known.
func (a *staleness) walk(n, id int) {
	h, v := a.history, &a.history.viewers[n]
	messages := h.streams[id].messages
	earliest := int64(0)
	for i := len(messages) - 1; i >= 0; i-- {
		m, seq := &messages[i], uint64(i)+1
		if at, ok := h.arrival(v, id, seq); ok && (earliest == 0 || at < earliest) {
			earliest = at
		}
		if !m.wasSent() || !v.owes(id, m) || !a.selection.covers(m.due) {
			continue
		}
		a.Values++
		switch took := time.Duration(earliest - m.due); {
		case earliest == 0:
			a.list.lost(v, n, id, seq, m, h.wasLost(id, m, a.selection.BrokerInside))
		case a.stood.Excused(a.limit, took, m.due, earliest):
			a.Excused++
		default:
			a.Longest = max(a.Longest, took)
			if took > a.limit {
				a.list.add(reports.Finding{
					Kind: "stale-shown", Subject: v.name + " ← " + h.device(uint32(id)), Seq: seq, At: time.Duration(m.due), Confirmed: true,
					Detail: fmt.Sprintf("%s #%d was sampled at %s; until %s the viewer showed an older value", h.device(uint32(id)), seq, clock(m.due), clock(earliest)),
				}, -1)
			}
		}
	}
}

// Sight is when one viewer first was given a payload.
type Sight struct {
	Viewer string
	At     int64 // 0 when it never was
}

// Sights returns when each selected viewer first was given a payload of a
// device, live or as a last value, at or after an instant, and whether the
// witness saw it then. It needs no publisher: a will has none.
func (h *History) Sights(o Options, device string, digest uint64, from int64) (list []Sight, witnessed bool) {
	s := h.choose(o)
	at := map[uint16]int64{}
	for i := range h.log.Records {
		r := &h.log.Records[i]
		if r.Digest != digest || r.At < from || r.At > h.drain || h.device(r.Stream) != device {
			continue
		}
		switch r.Kind {
		case record.Witnessed:
			witnessed = true
		case record.Received, record.Restored:
			if at[r.Node] == 0 {
				at[r.Node] = max(r.At, 1)
			}
		}
	}
	for _, n := range s.viewers {
		list = append(list, Sight{Viewer: h.viewers[n].name, At: at[uint16(n)]})
	}
	return list, witnessed
}

package main

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// order: messages that overtake.
var order = map[string]maker{
	"F11": shuffle, "F12": interleave, "F13": mixQoS, "F14": staleRetained, "F15": retainedUnmarked,
	"C-cross": crossTopics, "C-gap": declareGaps, "C-conflate": conflate,
}

// shuffle (F11) lets neighbours of one topic change places as workers with some
// jitter would: with probability ½·e^(−spacing/jitter).
func shuffle(f *front, p param) *flaw {
	jitter := float64(p.time(0).Microseconds())
	return &flaw{arrive: func(s *session, _ *stream, rs []reading) []reading {
		for i := 1; i < len(rs); i++ {
			spacing := float64(rs[i].T - rs[i-1].T)
			if rs[i].Topic == rs[i-1].Topic && s.random.Float64() < 0.5*math.Exp(-spacing/jitter) {
				f.count.fire()
				swap(rs, i)
			}
		}
		return rs
	}}
}

// swap exchanges two neighbours; each keeps the other's offset.
func swap(rs []reading, i int) {
	rs[i], rs[i-1] = rs[i-1], rs[i]
	rs[i].O, rs[i-1].O = rs[i-1].O, rs[i].O
}

// interleave (F12) replays to a viewer that came back while live messages go
// past: the younger half of what it missed comes so much later.
func interleave(f *front, p param) *flaw {
	late := p.time(0)
	return &flaw{arrive: func(s *session, st *stream, rs []reading) []reading {
		if !st.resumed {
			return rs
		}
		s.mu.Lock()
		head := s.head
		s.mu.Unlock()
		middle := st.at + (head-min(head, st.at))/2
		for i := range rs {
			if rs[i].O > middle && rs[i].O <= head {
				f.count.fire()
				rs[i].due, rs[i].free = st.began.Add(late), true
			}
		}
		return rs
	}}
}

// mixQoS (F13) lets QoS 0 overtake the QoS 1 message right before it.
func mixQoS(f *front, _ param) *flaw {
	return &flaw{arrive: func(_ *session, _ *stream, rs []reading) []reading {
		for i := 1; i < len(rs); i++ {
			if rs[i].Topic == rs[i-1].Topic && rs[i].QoS == 0 && rs[i-1].QoS > 0 {
				f.count.fire()
				swap(rs, i)
			}
		}
		return rs
	}}
}

// staleRetained (F14) sends the last values again after fresher live messages.
func staleRetained(f *front, p param) *flaw {
	late := p.time(0)
	type kept struct{ last []reading }
	return &flaw{
		snapshot: func(s *session, snap *snapshot) bool {
			if st := s.streams[snap.ID]; st != nil {
				k, _ := st.state.(*kept)
				if k == nil {
					k = &kept{}
					st.state = k
				}
				k.last = append(k.last, snap.Readings...)
			}
			return true
		},
		arrive: func(_ *session, st *stream, rs []reading) []reading {
			k, _ := st.state.(*kept)
			if k == nil || time.Since(st.began) < late || len(rs) == 0 {
				return rs
			}
			for _, r := range k.last {
				f.count.fire()
				r.O, r.Retain = rs[len(rs)-1].O, true
				rs = append(rs, r)
			}
			k.last = nil
			return rs
		},
	}
}

// retainedUnmarked (F15) forges the mark of retained messages and sends no last
// values.
func retainedUnmarked(f *front, _ param) *flaw {
	return &flaw{
		snapshot: func(_ *session, snap *snapshot) bool {
			if len(snap.Readings) > 0 {
				f.count.fire()
			}
			snap.Readings = nil
			return true
		},
		arrive: func(_ *session, _ *stream, rs []reading) []reading {
			for i := range rs {
				if rs[i].Retain {
					f.count.fire()
					rs[i].Retain = false
				}
			}
			return rs
		},
	}
}

// crossTopics swaps neighbours of different topics: a control, no defect, because
// order holds within a topic only.
func crossTopics(f *front, _ param) *flaw {
	return &flaw{arrive: func(_ *session, _ *stream, rs []reading) []reading {
		for i := 1; i < len(rs); i += 2 {
			if rs[i].Topic != rs[i-1].Topic {
				f.count.fire()
				swap(rs, i)
			}
		}
		return rs
	}}
}

// declareGaps leaves out every N-th interval and says so: a control, because what
// is declared is not lost silently.
func declareGaps(f *front, p param) *flaw {
	n := p.number(0)
	return &flaw{bridgeFrame: func(s *session, fr frame) bool {
		var b batch
		if !fr.text() || typeOf(fr.payload) != "batch" || json.Unmarshal(fr.payload, &b) != nil || s.streams[b.ID] == nil {
			return true
		}
		if len(b.Readings) == 0 || s.random.Float64()*n >= 1 {
			return true
		}
		f.count.fire()
		st := s.streams[b.ID]
		st.at, st.upTo = b.To, b.To
		st.missed += b.To - b.From
		gap := map[string]any{"type": "gap", "id": b.ID, "from": b.From, "to": b.To, "count": b.To - b.From, "reason": "evicted"}
		return s.toViewer(textFrame(encode(gap))) != nil
	}}
}

// conflate sends, of the messages of one topic that come within so long of each
// other, the newest only: a control, because who is shown values is to see the
// last one.
func conflate(f *front, p param) *flaw {
	every := p.time(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		due := time.Now().Truncate(every).Add(every)
		newest := map[string]int{}
		for i := range rs {
			rs[i].due = due
			newest[rs[i].Topic] = i
		}
		old := func(r reading) bool { _, comes := newest[r.Topic]; return comes && fired(f) }
		st.waiting = slices.DeleteFunc(st.waiting, old)
		kept := rs[:0]
		for i, r := range rs {
			if newest[r.Topic] == i {
				kept = append(kept, r)
			} else {
				f.count.fire()
			}
		}
		return kept
	}}
}

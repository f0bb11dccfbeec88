package oracle

import (
	"math"
	"slices"

	"plumbline/harness/record"
	"plumbline/harness/stats"
)

// millis turns nanoseconds into the milliseconds that reports carry.
func millis(ns int64) float64 { return float64(ns) / 1e6 }

// each calls f for every message of the selected streams that was intended in
// a window.
func (h *History) each(s *selection, f func(stream int, seq uint64, m *message)) {
	for _, id := range s.streams {
		messages := h.streams[id].messages
		for i := range messages {
			if m := &messages[i]; m.known && s.covers(m.due) {
				f(id, uint64(i)+1, m)
			}
		}
	}
}

// arrival returns when a viewer first had a message, false when it did not
// before the end of the drain.
func (h *History) arrival(v *viewer, stream int, seq uint64) (int64, bool) {
	at := v.streams[stream].arrived.of(seq)
	if at == 0 || at > h.drain {
		return 0, false
	}
	return at, true
}

// owes reports whether a viewer is to get a message of a stream: its filters
// take the topic, and it was subscribed before the message was intended.
func (v *viewer) owes(stream int, m *message) bool {
	return v.streams[stream].owed && m.due >= v.streams[stream].since
}

// Latencies returns the time from intended instant to arrival of every
// delivery that was due: one per message and viewer whose filters take it. A
// message that never came, and one that the generator could not write in time,
// is +Inf. For a device that publishes by itself the intended instant is when
// the witness saw the message, which may be a little after the broker did;
// such a latency is at least 0.
func (h *History) Latencies(o Options) Latencies {
	s := h.choose(o)
	l := Latencies{history: h, options: o, Clocks: h.Clocks(o)}
	l.grow(h.countOwed(&s))
	h.each(&s, func(stream int, seq uint64, m *message) {
		self := h.streams[stream].self
		for _, n := range s.viewers {
			v := &h.viewers[n]
			if !v.owes(stream, m) {
				continue
			}
			value := math.Inf(1)
			at, ok := h.arrival(v, stream, seq)
			switch {
			case ok && self:
				value = max(millis(at-m.due), 0)
			case ok:
				value = millis(at - m.due)
				if at+int64(h.log.Index.Nodes[n].Uncertainty) < max(m.due, m.sent) {
					l.Negative++
				}
			case m.wasSent():
				l.Lost++
			default:
				l.Blocked++
			}
			l.Series.Due = append(l.Series.Due, m.due)
			l.Series.Value = append(l.Series.Value, value)
			l.Stream = append(l.Stream, uint32(stream))
			l.Viewer = append(l.Viewer, uint16(n))
			l.Seq = append(l.Seq, seq)
		}
	})
	return l
}

func (h *History) countOwed(s *selection) (n int) {
	h.each(s, func(stream int, _ uint64, m *message) {
		for _, v := range s.viewers {
			if h.viewers[v].owes(stream, m) {
				n++
			}
		}
	})
	return n
}

func (l *Latencies) grow(n int) {
	l.Series = stats.Series{Due: make([]int64, 0, n), Value: make([]float64, 0, n)}
	l.Stream, l.Viewer, l.Seq = make([]uint32, 0, n), make([]uint16, 0, n), make([]uint64, 0, n)
}

// FirstMessages returns, for every time a viewer subscribed, the latency of
// the first message intended after that. Windows do not matter here: the first
// message belongs to the part that the other figures leave out. Options.From
// and To limit when the viewer subscribed.
func (h *History) FirstMessages(o Options) []FirstMessage {
	s := h.choose(o)
	var result []FirstMessage
	for _, e := range h.events {
		if e.Kind != record.Subscribed || (o.To > 0 && (e.At < o.From || e.At >= o.To)) {
			continue
		}
		for _, n := range s.viewers {
			if v := &h.viewers[n]; v.name == e.Subject {
				if first, ok := h.firstMessage(&s, v, e.At); ok {
					result = append(result, first)
				}
			}
		}
	}
	return result
}

// watched returns when a viewer that subscribed at an instant left by itself.
func (h *History) watched(v *viewer, at int64) int64 {
	if next, _ := slices.BinarySearch(v.left, at); next < len(v.left) {
		return v.left[next]
	}
	return h.drain
}

// firstMessage returns the earliest message of any stream owed to v that was
// intended at or after the instant; false when there is none.
func (h *History) firstMessage(s *selection, v *viewer, at int64) (FirstMessage, bool) {
	first, due := FirstMessage{Viewer: v.name, At: at, Latency: math.Inf(1)}, int64(math.MaxInt64)
	for _, id := range s.streams {
		if !v.streams[id].owed {
			continue
		}
		for i := range h.streams[id].messages {
			m := &h.streams[id].messages[i]
			if m.due < at || !m.wasSent() {
				continue
			}
			if m.due < due {
				due = m.due
				first.Device, first.Latency = h.log.Index.Streams[id].Device, math.Inf(1)
				if arrived, ok := h.arrival(v, id, uint64(i)+1); ok {
					first.Latency = millis(arrived - m.due)
				}
				first.Watched = h.watched(v, at) - m.due
			}
			break // later ones are intended later
		}
	}
	return first, due != math.MaxInt64
}

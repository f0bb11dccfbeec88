package oracle

import (
	"math"
	"slices"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// PageHops says where the time goes behind a headless viewer: on to a page that is
// sent the same, and from there to the frame after it. Viewer, page and frame are
// names of viewers; legs without samples are left out.
func (h *History) PageHops(scenario, viewer, page, frame string, o Options) []reports.Hop {
	o.Viewers = []string{viewer, page, frame}
	s := h.choose(o)
	at := func(name string, stream int, seq uint64) (int64, bool) {
		for _, n := range s.viewers {
			if h.viewers[n].name == name {
				return h.arrival(&h.viewers[n], stream, seq)
			}
		}
		return 0, false
	}
	var toPage, toFrame, seen, painted []float64
	h.each(&s, func(stream int, seq uint64, m *message) {
		headless, arrived := at(viewer, stream, seq)
		shown, came := at(page, stream, seq)
		frame, made := at(frame, stream, seq)
		if arrived && came {
			toPage = append(toPage, millis(shown-headless))
		}
		if came {
			seen = append(seen, millis(shown-m.due))
		}
		if came && made {
			toFrame = append(toFrame, millis(frame-shown))
			painted = append(painted, millis(frame-m.due))
		}
	})
	legs := legsOf{scenario: scenario}
	legs.add("viewer → page", "t4", "t5", "of the same message; negative where the page had it first", toPage)
	legs.add("page → frame", "t5", "t6", "the frame after the message, ± 1 frame: the compositor's own time is not seen", toFrame)
	legs.add("whole way to the page", "t0i", "t5", "", seen)
	legs.add("whole way to the frame", "t0i", "t6", "", painted)
	return legs.hops
}

// And returns the latencies of two selections of one recording together.
func (l Latencies) And(more Latencies) Latencies {
	l.Series = stats.Series{Due: slices.Concat(l.Series.Due, more.Series.Due), Value: slices.Concat(l.Series.Value, more.Series.Value)}
	l.Stream, l.Viewer, l.Seq = slices.Concat(l.Stream, more.Stream), slices.Concat(l.Viewer, more.Viewer), slices.Concat(l.Seq, more.Seq)
	l.Lost, l.Blocked, l.Negative = l.Lost+more.Lost, l.Blocked+more.Blocked, l.Negative+more.Negative
	l.also = slices.Concat(l.also, []Options{more.options}, more.also)
	return l
}

// Latest returns the latencies as they are for who is shown conflated data: a message
// counts as there when it or a newer one of its stream is. What never came and was
// never outdone stays infinitely late.
func (l Latencies) Latest() Latencies {
	at := map[[2]uint32]map[uint64]int{} // by stream and viewer: index by position
	for i := range l.Series.Value {
		key := [2]uint32{l.Stream[i], uint32(l.Viewer[i])}
		if at[key] == nil {
			at[key] = map[uint64]int{}
		}
		at[key][l.Seq[i]] = i
	}
	l.Series.Value = slices.Clone(l.Series.Value)
	for _, positions := range at {
		order := make([]uint64, 0, len(positions))
		for seq := range positions {
			order = append(order, seq)
		}
		slices.Sort(order)
		best := 0.0 // arrival of the newer ones, in ms of the run clock
		for k := len(order) - 1; k >= 0; k-- {
			i := positions[order[k]]
			due := millis(l.Series.Due[i])
			arrival := due + l.Series.Value[i]
			if k == len(order)-1 || arrival < best {
				best = arrival
			}
			l.Series.Value[i] = max(best-due, 0)
		}
	}
	l.Lost, l.Blocked = 0, 0
	for i, value := range l.Series.Value {
		switch {
		case !math.IsInf(value, 1):
		case l.history != nil && !l.history.at(l.Stream[i], l.Seq[i]).wasSent():
			l.Blocked++
		default:
			l.Lost++
		}
	}
	return l
}

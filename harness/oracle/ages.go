package oracle

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Ages is how old the values are that viewers show: over every instant of the
// windows, every viewer and every topic that it watches, the time since the
// newest value that it has was intended. What was measured and how often it is
// brought are both in it: a value grows old until the next one is there.
type Ages struct {
	Unshown time.Duration // in which a viewer had no value of a topic yet, summed
	spans   []ageSpan
}

// ageSpan is a time in which one value was shown: its age grew from one to the other.
type ageSpan struct{ from, to int64 }

// Ages returns the ages within the selected windows.
func (h *History) Ages(o Options) Ages {
	s := h.choose(o)
	var a Ages
	for _, w := range s.windows {
		to := min(w.to, h.drain)
		for _, n := range s.viewers {
			for _, id := range s.streams {
				if h.viewers[n].streams[id].owed && to > w.from {
					h.shown(&a, &h.viewers[n].streams[id], id, w.from, to)
				}
			}
		}
	}
	return a
}

// arrivedValue is a value that came.
type arrivedValue struct{ at, due int64 }

// shown adds the ages of one topic at one viewer from one instant to another.
func (h *History) shown(a *Ages, got *received, stream int, from, to int64) {
	var came []arrivedValue
	for i, at := range got.arrived.at {
		if at == 0 || at >= to {
			continue
		}
		if m := h.at(uint32(stream), got.arrived.base+uint64(i)+1); m != nil {
			came = append(came, arrivedValue{at, m.due})
		}
	}
	slices.SortStableFunc(came, func(x, y arrivedValue) int { return cmp.Compare(x.at, y.at) })
	due, since := int64(math.MinInt64), from // none yet
	show := func(until int64) {
		switch {
		case until <= since:
		case due == math.MinInt64:
			a.Unshown += time.Duration(until - since)
		default:
			a.spans = append(a.spans, ageSpan{since - due, until - due})
		}
		since = max(since, until)
	}
	for _, c := range came {
		if c.due > due { // one that is older than what is shown changes nothing
			show(c.at)
			due = c.due
		}
	}
	show(to)
}

// Join returns the ages of several selections together.
func (a Ages) Join(other Ages) Ages {
	return Ages{Unshown: a.Unshown + other.Unshown, spans: slices.Concat(a.spans, other.spans)}
}

// Quantile returns the age in milliseconds that is not exceeded for the share q
// of all time; NaN where nothing was shown.
func (a Ages) Quantile(q float64) float64 {
	type edge struct {
		at    int64
		slope int
	}
	var edges []edge
	whole := 0.0
	for _, s := range a.spans {
		edges = append(edges, edge{s.from, 1}, edge{s.to, -1})
		whole += float64(s.to - s.from)
	}
	if whole == 0 {
		return math.NaN()
	}
	slices.SortFunc(edges, func(x, y edge) int { return cmp.Compare(x.at, y.at) })
	wanted, passed, slope := q*whole, 0.0, 0
	for i, e := range edges {
		if i > 0 {
			step := float64(e.at-edges[i-1].at) * float64(slope)
			if slope > 0 && passed+step >= wanted {
				return (float64(edges[i-1].at) + (wanted-passed)/float64(slope)) / 1e6
			}
			passed += step
		}
		slope += e.slope
	}
	return float64(edges[len(edges)-1].at) / 1e6
}

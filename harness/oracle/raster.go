package oracle

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

const (
	rasterSlots = 120  // of a Raster whose slot is not given
	maxReturns  = 1000 // of a Recovery; the records hold all
)

// The letters of reports.Fates.
const (
	fateNone, fateWhole, fateBlocked, fateTwice, fateReordered = '.', 'o', 'b', 'd', 'r'
	fateUnconfirmed, fateCorrupt, fatePhantom, fateLost        = 'u', 'c', 'p', 'l'
)

// Raster tells for every selected device what became of the messages that were due
// in each slot. It begins at the first intended instant of the selection. A slot of
// zero or less means a 120th of the run, at least 100 ms.
func (h *History) Raster(scenario string, slot time.Duration, o Options) reports.Raster {
	s := h.choose(o)
	from, to := h.span(&s)
	if slot <= 0 {
		slot = max(time.Duration(to-from)/rasterSlots, 100*time.Millisecond)
	}
	n := (to-from)/int64(slot) + 1
	cells := make([][]byte, len(h.streams))
	for _, id := range s.streams {
		cells[id] = []byte(strings.Repeat(string(fateNone), int(n)))
	}
	mark := func(stream int, at int64, fate byte) {
		cell := &cells[stream][min(max((at-from)/int64(slot), 0), n-1)]
		if strings.IndexByte(reports.Fates, fate) > strings.IndexByte(reports.Fates, *cell) {
			*cell = fate
		}
	}
	h.each(&s, func(stream int, seq uint64, m *message) {
		mark(stream, m.due, h.fate(&s, stream, seq, m))
	})
	for _, odd := range h.oddity {
		r := &h.log.Records[odd.record]
		fate, wrong := oddFate(odd.kind)
		if !wrong || r.Stream == record.NoStream || !h.pick(&s, odd) {
			continue
		}
		at := r.At
		if m := h.at(r.Stream, odd.seq); m != nil && m.known {
			at = m.due
		}
		mark(int(r.Stream), at, fate)
	}
	raster := reports.Raster{Scenario: scenario, Slot: slot, Rows: []reports.RasterRow{}}
	for _, id := range s.streams {
		raster.Rows = append(raster.Rows, reports.RasterRow{Device: h.log.Index.Streams[id].Device, Cells: string(cells[id])})
	}
	return raster
}

// fate is what became of one message at all viewers that were to get it, as
// account has it.
func (h *History) fate(s *selection, stream int, seq uint64, m *message) byte {
	if !m.wasSent() {
		return fateBlocked
	}
	fate := byte(fateNone)
	for _, n := range s.viewers {
		v := &h.viewers[n]
		if !v.owes(stream, m) {
			continue
		}
		_, ok := h.arrival(v, stream, seq)
		switch {
		case ok && fate == fateNone:
			fate = fateWhole
		case ok:
		case h.wasLost(stream, m, s.BrokerInside):
			return fateLost
		default:
			fate = fateUnconfirmed
		}
	}
	return fate
}

// oddFate is what an arrival that should not have been as it was makes of a cell:
// the kinds that Integrity counts.
func oddFate(kind oddityKind) (byte, bool) {
	switch kind {
	case duplicate:
		return fateTwice, true
	case reordered, excused:
		return fateReordered, true
	case corrupted, misrouted:
		return fateCorrupt, true
	case phantom:
		return fatePhantom, true
	default:
		return 0, false
	}
}

// Recovery shows the ways back of Resumptions, in the order of the losses; the
// first thousand.
func (h *History) Recovery(scenario string, o Options) reports.Recovery {
	list := h.Resumptions(o)
	slices.SortStableFunc(list, func(a, b Resumption) int {
		return cmp.Or(cmp.Compare(a.Lost, b.Lost), cmp.Compare(a.Viewer, b.Viewer))
	})
	out := reports.Recovery{Scenario: scenario, Returns: []reports.Return{}}
	for _, r := range list {
		if len(out.Returns) == maxReturns {
			out.Omitted++
			continue
		}
		after := func(at int64) reports.Float {
			if at == 0 {
				return reports.Float(math.NaN())
			}
			return reports.Float(millis(at - r.Lost))
		}
		out.Returns = append(out.Returns, reports.Return{
			Viewer: r.Viewer, Fault: h.faultAt(r.Onset), Lost: time.Duration(r.Lost), Back: after(r.Back),
			Subscribed: after(r.Subscribed), Fresh: after(r.Fresh), Recovered: r.Recovered, Reason: r.Reason,
		})
	}
	return out
}

// faultAt names the fault of that onset, "" for 0.
func (h *History) faultAt(onset int64) string {
	for _, f := range h.faults {
		if f.onset == onset && onset != 0 {
			return f.name
		}
	}
	return ""
}

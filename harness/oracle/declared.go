package oracle

import (
	"cmp"
	"slices"
	"sort"

	"plumbline/harness/record"
)

// admitted is what was declared to one viewer as left out: journal intervals, and
// stretches of time where the system could only say that it does not know. A system may
// declare as much as it likes, and lose as much: each loss is looked up, not searched.
type admitted struct {
	times  spans
	epochs map[string]spans // intervals by the epoch that they name, "" where it was not said
}

// spans are closed stretches of whole numbers. After settle they rise and share none.
type spans [][2]uint64

// interval adds (from, to] of an epoch.
func (a *admitted) interval(epoch string, from, to uint64) {
	if from >= to {
		return // of nothing
	}
	if a.epochs == nil {
		a.epochs = map[string]spans{}
	}
	a.epochs[epoch] = append(a.epochs[epoch], [2]uint64{from + 1, to})
}

// stretch adds the time from since to until, ns on the run clock.
func (a *admitted) stretch(since, until int64) {
	if since <= until {
		a.times = append(a.times, [2]uint64{uint64(max(since, 0)), uint64(max(until, 0))})
	}
}

// settle makes it ready to be asked.
func (a *admitted) settle() {
	a.times = a.times.joined()
	for epoch, s := range a.epochs {
		a.epochs[epoch] = s.joined()
	}
}

// joined sorts spans and joins those that share a number.
func (s spans) joined() spans {
	slices.SortFunc(s, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	out := s[:0]
	for _, one := range s {
		if n := len(out); n > 0 && one[0] <= out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], one[1])
			continue
		}
		out = append(out, one)
	}
	return out
}

// reach reports whether one of them begins at or before high and ends at or after low.
func (s spans) reach(low, high uint64) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i][1] >= low })
	return i < len(s) && s[i][0] <= high
}

// covers reports whether a lost message was declared. Its own place is not known when
// no viewer had it; then it lies between those of its neighbours, and a gap that
// reaches in there is given the benefit of the doubt, as is what was still on its way
// to the broker when the declared stretch began.
func (a *admitted) covers(known *places, seq uint64, m *message) bool {
	if a.times.reach(uint64(max(m.due, 0)), uint64(max(m.due, m.acked, m.witnessed, 0))) {
		return true
	}
	if len(a.epochs) == 0 {
		return false
	}
	before, after := known.around(seq)
	if own := known.at[seq-1].offset; own != 0 {
		return a.epochs[""].reach(own, own) || a.epochs[before.epoch].reach(own, own)
	}
	return a.between(before, after)
}

// between reports whether a gap reaches between two places. One that is not known
// bounds nothing, nor does one in another epoch than the gap's; a gap that names no
// epoch speaks of any.
func (a *admitted) between(before, after place) bool {
	others, named := len(a.epochs), []string{""}
	for _, p := range []place{before, after} {
		if !slices.Contains(named, p.epoch) {
			named = append(named, p.epoch)
		}
	}
	for _, epoch := range named {
		gaps, told := a.epochs[epoch]
		if !told {
			continue
		}
		others--
		low, high := uint64(0), ^uint64(0)
		if before.offset != 0 && (epoch == "" || epoch == before.epoch) {
			low = before.offset + 1
		}
		if after.offset != 0 && (epoch == "" || epoch == after.epoch) {
			high = after.offset - 1
		}
		if gaps.reach(low, high) {
			return true
		}
	}
	return others > 0 && (before.offset == 0 || after.offset == 0)
}

// place is where a message is in the journal; the offset is 0 where nobody said.
type place struct {
	epoch  string
	offset uint64
}

// places are those of the messages of a stream, with the nearest known ones of each.
type places struct {
	at            []place
	before, after []uint32 // by position less one: that of the nearest known place, itself included; 0 for none
}

// places returns the place of each message of a stream as any viewer saw it.
func (h *History) places(stream int) *places {
	n := len(h.streams[stream].messages)
	p := &places{at: make([]place, n)}
	for i := range h.log.Records {
		r := &h.log.Records[i]
		live := r.Kind == record.Received || r.Kind == record.Restored
		if live && int(r.Stream) == stream && r.Seq > 0 && r.Seq <= uint64(n) && r.Offset != 0 {
			p.at[r.Seq-1] = place{epoch: h.epoch(r.Aux), offset: r.Offset}
		}
	}
	p.link()
	return p
}

// link finds the nearest known places.
func (p *places) link() {
	n := len(p.at)
	p.before, p.after = make([]uint32, n), make([]uint32, n)
	last := uint32(0)
	for i := range p.at {
		if p.at[i].offset != 0 {
			last = uint32(i) + 1
		}
		p.before[i] = last
	}
	last = 0
	for i := n - 1; i >= 0; i-- {
		if p.at[i].offset != 0 {
			last = uint32(i) + 1
		}
		p.after[i] = last
	}
}

// around returns the nearest known places of a message, its own included; zero for
// none.
func (p *places) around(seq uint64) (before, after place) {
	if n := p.before[seq-1]; n > 0 {
		before = p.at[n-1]
	}
	if n := p.after[seq-1]; n > 0 {
		after = p.at[n-1]
	}
	return before, after
}

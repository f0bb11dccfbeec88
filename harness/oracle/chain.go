package oracle

import (
	"fmt"
	"strconv"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// declared is one admission to a viewer that something was left out: a journal
// interval (from, to], or a stretch of time when the system could only say that
// it does not know.
type declared struct {
	epoch        string // of the interval, "" when it was not said
	from, to     uint64
	since, until int64
}

// Chain judges honesty: every batch begins where the last one ended, and what
// is missing lies inside a gap that was declared. A resume that the system
// called not recovered declares everything intended between the last arrival
// before and the new subscription.
func (h *History) Chain(o Options) (Chain, []reports.Finding) {
	s := h.choose(o)
	var c Chain
	list := h.newFindings(&s)
	gaps := map[int][]declared{}
	for _, n := range s.viewers {
		gaps[n] = h.declarations(n, &s, &c, list)
	}
	h.judgeLosses(&s, gaps, &c, list)
	return c, list.all()
}

// declarations collects what was declared to one viewer and counts its broken
// chains.
func (h *History) declarations(n int, s *selection, c *Chain, list *findings) (gaps []declared) {
	name := h.viewers[n].name
	lost := int64(0)
	for _, e := range h.events {
		if e.Subject != name {
			continue
		}
		switch e.Kind {
		case record.ChainBroken:
			c.Broken++
			list.add(reports.Finding{
				Kind: "chain-broken", Subject: name, Detail: chainDetail(e),
				At: time.Duration(e.At), Confirmed: true,
			}, -1)
		case record.GapDeclared:
			c.Gaps++
			c.Admitted += int64(field(e, "count"))
			gaps = append(gaps, declared{epoch: e.Fields["epoch"], from: field(e, "from"), to: field(e, "to")})
		case record.Disconnected:
			lost = e.At
		case record.Subscribed:
			if e.Fields["recovered"] == "false" && lost != 0 {
				gaps = append(gaps, declared{since: h.lastArrival(n, s, lost), until: e.At})
			}
			lost = 0
		}
	}
	return gaps
}

func chainDetail(e record.Event) string {
	if e.Detail != "" {
		return e.Detail
	}
	return fmt.Sprintf("a batch began at %s, the last one had ended elsewhere", e.Fields["from"])
}

// field reads a number of an event; 0 when it is missing or no number.
func field(e record.Event, name string) uint64 {
	n, err := strconv.ParseUint(e.Fields[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// judgeLosses tells declared losses from silent ones.
func (h *History) judgeLosses(s *selection, gaps map[int][]declared, c *Chain, list *findings) {
	known := map[int][]place{} // by stream, made when first needed
	h.each(s, func(stream int, seq uint64, m *message) {
		for _, n := range s.viewers {
			v := &h.viewers[n]
			if !v.owes(stream, m) || (m.acked == 0 && m.witnessed == 0) {
				continue
			}
			if _, ok := h.arrival(v, stream, seq); ok {
				continue
			}
			if !h.wasLost(stream, m, s.BrokerInside) {
				list.lost(v, n, stream, seq, m, false)
				continue
			}
			if known[stream] == nil {
				known[stream] = h.places(stream)
			}
			if isDeclared(gaps[n], known[stream], seq, m) {
				c.DeclaredLost++
				continue
			}
			c.SilentLost++
			list.lost(v, n, stream, seq, m, true)
		}
	})
}

// place is where a message is in the journal; the offset is 0 where nobody
// said.
type place struct {
	epoch  string
	offset uint64
}

// places returns the place of each message of a stream as any viewer saw it.
func (h *History) places(stream int) []place {
	places := make([]place, len(h.streams[stream].messages))
	for i := range h.log.Records {
		r := &h.log.Records[i]
		live := r.Kind == record.Received || r.Kind == record.Restored
		if live && int(r.Stream) == stream && r.Seq > 0 && r.Seq <= uint64(len(places)) && r.Offset != 0 {
			places[r.Seq-1] = place{epoch: h.epoch(r.Aux), offset: r.Offset}
		}
	}
	return places
}

// epoch names a journal epoch; "" when the recording does not.
func (h *History) epoch(n uint32) string {
	if int(n) >= len(h.log.Index.Epochs) {
		return ""
	}
	return h.log.Index.Epochs[n]
}

// isDeclared reports whether a gap covers a lost message. Its own place is not
// known when no viewer had it; then it lies between those of its neighbours,
// and a gap that reaches in there is given the benefit of the doubt, as is what
// was still on its way to the broker when the declared stretch began.
func isDeclared(gaps []declared, known []place, seq uint64, m *message) bool {
	var before, after place
	for i := int(seq) - 1; before.offset == 0 && i >= 0; i-- {
		before = known[i]
	}
	for i := int(seq) - 1; after.offset == 0 && i < len(known); i++ {
		after = known[i]
	}
	own := known[seq-1].offset
	for _, gap := range gaps {
		switch {
		case gap.until != 0:
			if m.due <= gap.until && max(m.due, m.acked, m.witnessed) >= gap.since {
				return true
			}
		case own != 0:
			if gap.in(before) && gap.from < own && own <= gap.to {
				return true
			}
		case gap.between(before, after):
			return true
		}
	}
	return false
}

// in reports whether a gap speaks of the epoch of a place. A gap that names
// none speaks of any.
func (d *declared) in(p place) bool { return d.epoch == "" || d.epoch == p.epoch }

// between reports whether a gap reaches between two places; one that is not
// known bounds nothing.
func (d *declared) between(before, after place) bool {
	low, high := uint64(0), ^uint64(0)
	if before.offset != 0 && d.in(before) {
		low = before.offset + 1
	}
	if after.offset != 0 && d.in(after) {
		high = after.offset - 1
	}
	if before.offset != 0 && after.offset != 0 && !d.in(before) && !d.in(after) {
		return false
	}
	return d.from < d.to && d.from < high && low <= d.to
}

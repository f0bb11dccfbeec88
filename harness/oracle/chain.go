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
			gaps = append(gaps, declared{from: field(e, "from"), to: field(e, "to")})
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
	offsets := map[int][]uint64{} // by stream, made when first needed
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
			if offsets[stream] == nil {
				offsets[stream] = h.offsets(stream)
			}
			if isDeclared(gaps[n], offsets[stream], seq, m.due) {
				c.DeclaredLost++
				continue
			}
			c.SilentLost++
			list.lost(v, n, stream, seq, m, true)
		}
	})
}

// offsets returns the journal offset of each message of a stream as any viewer
// saw it, 0 where nobody did.
func (h *History) offsets(stream int) []uint64 {
	offsets := make([]uint64, len(h.streams[stream].messages))
	for i := range h.log.Records {
		r := &h.log.Records[i]
		live := r.Kind == record.Received || r.Kind == record.Restored
		if live && int(r.Stream) == stream && r.Seq > 0 && r.Seq <= uint64(len(offsets)) && r.Offset != 0 {
			offsets[r.Seq-1] = r.Offset
		}
	}
	return offsets
}

// isDeclared reports whether a gap covers a lost message. Its own offset is not
// known when no viewer had it; then it lies between those of its neighbours,
// and a gap that reaches in there is given the benefit of the doubt.
func isDeclared(gaps []declared, offsets []uint64, seq uint64, due int64) bool {
	low, high := offsets[seq-1], offsets[seq-1]
	for i := int(seq) - 2; low == 0 && i >= 0; i-- {
		if offsets[i] != 0 {
			low = offsets[i] + 1
		}
	}
	for i := int(seq); high == 0 && i < len(offsets); i++ {
		if offsets[i] != 0 {
			high = offsets[i] - 1
		}
	}
	if high == 0 {
		high = ^uint64(0)
	}
	for _, gap := range gaps {
		if gap.until != 0 && due >= gap.since && due <= gap.until {
			return true
		}
		if gap.to > 0 && gap.from < high && low <= gap.to {
			return true
		}
	}
	return false
}

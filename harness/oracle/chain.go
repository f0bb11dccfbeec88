package oracle

import (
	"fmt"
	"strconv"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// Chain judges honesty: every batch begins where the last one ended, and what
// is missing lies inside a gap that was declared. A resume that the system
// called not recovered declares everything intended between the last arrival
// before and the new subscription.
func (h *History) Chain(o Options) (Chain, []reports.Finding) {
	s := h.choose(o)
	var c Chain
	list := h.newFindings(&s)
	gaps := map[int]*admitted{}
	for _, n := range s.viewers {
		gaps[n] = h.declarations(n, &s, &c, list)
	}
	h.judgeLosses(&s, gaps, &c, list)
	return c, list.all()
}

// declarations collects what was declared to one viewer and counts its broken
// chains.
func (h *History) declarations(n int, s *selection, c *Chain, list *findings) *admitted {
	name := h.viewers[n].name
	gaps, lost := &admitted{}, int64(0)
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
			gaps.interval(e.Fields["epoch"], field(e, "from"), field(e, "to"))
		case record.Disconnected:
			lost = e.At
		case record.Subscribed:
			if e.Fields["recovered"] == "false" && lost != 0 {
				gaps.stretch(h.lastArrival(n, s, lost), e.At)
			}
			lost = 0
		}
	}
	gaps.settle()
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
func (h *History) judgeLosses(s *selection, gaps map[int]*admitted, c *Chain, list *findings) {
	known := map[int]*places{} // by stream, made when first needed
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
			if gaps[n].covers(known[stream], seq, m) {
				c.DeclaredLost++
				continue
			}
			c.SilentLost++
			list.lost(v, n, stream, seq, m, true)
		}
	})
}

// epoch names a journal epoch; "" when the recording does not.
func (h *History) epoch(n uint32) string {
	if int(n) >= len(h.log.Index.Epochs) {
		return ""
	}
	return h.log.Index.Epochs[n]
}

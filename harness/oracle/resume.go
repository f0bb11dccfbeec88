package oracle

import (
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// Resumptions returns every loss of a viewer's connection that lies in a
// window (by its onset or by the moment the viewer noticed) with its way back,
// in the order of time per viewer. A viewer that never came back is one only
// when a fault preceded it inside the windows; else it was closed on purpose.
func (h *History) Resumptions(o Options) []Resumption {
	s := h.choose(o)
	var result []Resumption
	for _, n := range s.viewers {
		result = append(result, h.resumptions(n, &s)...)
	}
	return result
}

func (h *History) resumptions(n int, s *selection) (list []Resumption) {
	v := &h.viewers[n]
	var open *Resumption
	settled := int64(0) // nothing before this is the cause of the next loss
	finish := func(until int64) {
		if open == nil {
			return
		}
		if open.Subscribed != 0 {
			open.Fresh = h.fresh(n, s, open.Subscribed, until)
		}
		if open.Back != 0 || (open.Onset != 0 && s.covers(open.Lost)) {
			list = append(list, *open)
		}
		open = nil
	}
	for _, e := range h.events {
		if e.Subject != v.name {
			continue
		}
		switch e.Kind {
		case record.Disconnected:
			if open != nil && open.Subscribed == 0 {
				continue // another failed attempt of the same way back
			}
			finish(e.At)
			if f := h.faultBefore(e.At, settled); s.covers(e.At) || (f.onset != 0 && s.covers(f.onset)) {
				open = &Resumption{Viewer: v.name, Lost: e.At, Onset: f.onset, FaultEnd: f.end, LastBefore: h.lastArrival(n, s, e.At)}
			}
		case record.Connected:
			if open != nil && open.Subscribed == 0 {
				open.Back = e.At
			}
		case record.Subscribed:
			settled = e.At
			if open != nil && open.Subscribed == 0 {
				open.Subscribed = e.At
				open.Recovered, open.Reason = e.Fields["recovered"] == "true", e.Fields["reason"]
			}
		}
	}
	finish(h.drain)
	return list
}

// faultBefore returns the latest fault with its onset in [since, at], zero when
// there is none.
func (h *History) faultBefore(at, since int64) (last faultWindow) {
	for _, f := range h.faults {
		if f.onset <= at && f.onset >= since && f.onset >= last.onset {
			last = f
		}
	}
	return last
}

// lastArrival returns the last arrival at a viewer before an instant.
func (h *History) lastArrival(n int, s *selection, before int64) (last int64) {
	for _, id := range s.streams {
		for _, at := range h.viewers[n].streams[id].arrived.at {
			if at < before {
				last = max(last, at)
			}
		}
	}
	return last
}

// fresh returns the first arrival of a message that was intended at or after
// since, 0 when there was none before until.
func (h *History) fresh(n int, s *selection, since, until int64) (first int64) {
	for _, id := range s.streams {
		arrived := &h.viewers[n].streams[id].arrived
		for i, at := range arrived.at {
			if at == 0 || at > until || h.streams[id].messages[arrived.base+uint64(i)].due < since {
				continue
			}
			if first == 0 || at < first {
				first = at
			}
		}
	}
	return first
}

// seamMargin is how much before a loss and after fresh data belongs to the
// seam between what was replayed and what is live.
const seamMargin = int64(time.Second)

// Seam judges delivery and order of the messages round every resumption only:
// from a second before the last arrival to a second after fresh data. Where
// resumptions of one viewer follow each other closely, a message counts once.
func (h *History) Seam(o Options) (Delivery, Order, []reports.Finding) {
	var d Delivery
	var a Order
	var found []reports.Finding
	for _, part := range seams(o, h.Resumptions(o)) {
		delivery, lost := h.Delivery(part)
		order, wrong := h.Order(part)
		d.merge(delivery)
		a.merge(order)
		found = append(append(found, lost...), wrong...)
	}
	return d, a, found
}

// seams returns the stretches round resumptions, those that overlap joined.
// Resumptions come in the order of time per viewer.
func seams(o Options, list []Resumption) (parts []Options) {
	for _, r := range list {
		if r.Fresh == 0 {
			continue
		}
		part := o
		part.Viewers = []string{r.Viewer}
		part.From, part.To = max(r.Lost-seamMargin, 0), r.Fresh+seamMargin
		if r.LastBefore != 0 {
			part.From = max(r.LastBefore-seamMargin, 0)
		}
		if n := len(parts); n > 0 && parts[n-1].Viewers[0] == r.Viewer && part.From <= parts[n-1].To {
			parts[n-1].To = max(parts[n-1].To, part.To)
			continue
		}
		parts = append(parts, part)
	}
	return parts
}

func (d *Delivery) merge(o Delivery) {
	d.Messages += o.Messages
	d.Blocked += o.Blocked
	d.Owed += o.Owed
	d.Delivered += o.Delivered
	d.Lost += o.Lost
	d.Unconfirmed += o.Unconfirmed
	d.Duplicated += o.Duplicated
	d.Repeated += o.Repeated
	d.Corrupted += o.Corrupted
	d.Phantom += o.Phantom
	d.Misrouted += o.Misrouted
}

func (a *Order) merge(o Order) {
	a.Deliveries += o.Deliveries
	a.Reordered += o.Reordered
	a.Excused += o.Excused
	a.Stale += o.Stale
	a.Backwards += o.Backwards
}

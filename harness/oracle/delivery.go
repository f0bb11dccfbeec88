package oracle

import (
	"fmt"

	"plumbline/harness/record"
	"plumbline/reports"
)

// Delivery judges completeness: every message that the broker confirmed
// reaches every viewer whose filters take it, once, unchanged. Findings name
// the first of each kind in full, with the records around it; later ones, up
// to 100 a kind, without.
//
// A loss is confirmed when the witness saw the message; where there is none, or
// with Options.BrokerInside, an acknowledgement will do. With BrokerInside a
// duplicate is confirmed even if the witness saw it twice as well. In a partial
// recording nothing is confirmed by its absence.
func (h *History) Delivery(o Options) (Delivery, []reports.Finding) {
	s := h.choose(o)
	var d Delivery
	list := h.newFindings(&s)
	h.each(&s, func(stream int, seq uint64, m *message) {
		if !m.wasSent() {
			d.Blocked++
			return
		}
		d.Messages++
		for _, n := range s.viewers {
			v := &h.viewers[n]
			if !v.owes(stream, m) {
				continue
			}
			d.Owed++
			_, ok := h.arrival(v, stream, seq)
			switch {
			case ok:
				d.Delivered++
			case h.wasLost(stream, m, o.BrokerInside):
				d.Lost++
				list.lost(v, n, stream, seq, m, true)
			default:
				d.Unconfirmed++
				list.lost(v, n, stream, seq, m, false)
			}
		}
	})
	for _, odd := range h.oddity {
		if h.pick(&s, odd) {
			d.count(h, list, odd, o.BrokerInside)
		}
	}
	return d, list.all()
}

// count enters one oddity that concerns delivery.
func (d *Delivery) count(h *History, list *findings, odd oddity, brokerInside bool) {
	switch odd.kind {
	case duplicate:
		m := h.at(h.log.Records[odd.record].Stream, odd.seq)
		confirmed := brokerInside || !m.repeated()
		if confirmed {
			d.Duplicated++
		} else {
			d.Repeated++
		}
		list.odd(odd, confirmed, fmt.Sprintf("delivered again; the witness saw it %d times", m.copies))
	case redelivered:
		d.Repeated++
		list.odd(odd, false, "delivered again after a lost connection, marked DUP, as QoS 1 has it")
	case corrupted:
		d.Corrupted++
		list.odd(odd, true, "payload changed on its way: its own checksum does not hold")
	case misrouted:
		d.Misrouted++
		list.odd(odd, true, "payload of this device arrived under the topic of another")
	case phantom:
		// Only a whole recording shows that nobody published it.
		confirmed := !h.log.Partial || h.log.Records[odd.record].Stream == record.NoStream
		if confirmed {
			d.Phantom++
		}
		list.odd(odd, confirmed, "nobody in this run published it")
	}
}

// Order judges order: per stream and viewer positions rise, snapshots are not
// older than what the viewer had, journal offsets rise. What the witness saw in
// the same wrong order is unconfirmed, unless the broker is inside the system.
func (h *History) Order(o Options) (Order, []reports.Finding) {
	s := h.choose(o)
	var a Order
	list := h.newFindings(&s)
	h.each(&s, func(stream int, seq uint64, m *message) {
		for _, n := range s.viewers {
			if _, ok := h.arrival(&h.viewers[n], stream, seq); ok && seq > 1 {
				a.Deliveries++
			}
		}
	})
	for _, odd := range h.oddity {
		if h.pick(&s, odd) {
			a.count(list, odd, o.BrokerInside)
		}
	}
	return a, list.all()
}

// count enters one oddity that concerns order.
func (a *Order) count(list *findings, odd oddity, brokerInside bool) {
	switch odd.kind {
	case reordered:
		a.Reordered++
		list.odd(odd, true, "arrived after a later message of the same device")
	case excused:
		if brokerInside {
			a.Reordered++
		} else {
			a.Excused++
		}
		list.odd(odd, brokerInside, "arrived after a later message of the same device; the witness saw that order too")
	case stale:
		a.Stale++
		list.odd(odd, true, "older than what the viewer had already")
	case backwards:
		a.Backwards++
		list.odd(odd, true, "its journal offset is below one delivered before")
	}
}

// Leaks returns a finding for everything that a viewer received although
// allowed says that it may not: live messages, snapshots, and messages of
// nobody known. Filters do not matter here.
func (h *History) Leaks(o Options, allowed func(viewer, topic string) bool) (checked int64, leaks []reports.Finding) {
	s := h.choose(o)
	list := h.newFindings(&s)
	viewers := make([]bool, len(h.viewers))
	for _, n := range s.viewers {
		viewers[n] = true
	}
	for i := range h.log.Records {
		r := &h.log.Records[i]
		if !viewers[r.Node] {
			continue
		}
		checked++
		if int(r.Stream) < len(h.streams) && allowed(h.viewers[r.Node].name, h.log.Index.Streams[r.Stream].Topic) {
			continue
		}
		list.add(h.finding("leak", h.viewers[r.Node].name, r, r.Seq, true, "the viewer may not receive this"), i)
	}
	return checked, list.all()
}

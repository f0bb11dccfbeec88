package oracle

import (
	"math"
	"slices"
	"sort"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
	"plumbline/reports/hdr"
)

const (
	bucketsPerDecade = 20
	smallestBucket   = 0.01 // ms; everything faster shares the first bucket
)

// curve are the points of the percentile curve; those that the number of
// samples cannot carry are left out.
var curve = [...]float64{0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99995, 0.99999}

// Distribution draws latencies: a histogram with twenty buckets a decade, so
// that modes show, the percentile curve, and all of them as an HdrHistogram. Its
// mean is that of what arrived.
func Distribution(name, scenario string, l Latencies, limits []reports.Limit) reports.Distribution {
	values := slices.Clone(l.Series.Value)
	sort.Float64s(values)
	finite := values[:len(values)-int(infinite(values))]
	d := reports.Distribution{
		Name: name, Scenario: scenario, Limits: limits,
		N: int64(len(values)), Lost: int64(len(values) - len(finite)),
		Min: nan, Mean: nan, Max: nan,
		Buckets: buckets(finite),
		HDR:     histogram(values),
	}
	if len(finite) > 0 {
		sum := 0.0
		for _, v := range finite {
			sum += v
		}
		d.Min, d.Max = reports.Float(finite[0]), reports.Float(finite[len(finite)-1])
		d.Mean = reports.Float(sum / float64(len(finite)))
	}
	for _, q := range curve {
		if float64(len(values))*math.Min(1-q, q) >= 1 {
			d.Percentiles = append(d.Percentiles, reports.Percentile{Q: q, Value: reports.Float(stats.Quantile(values, q))})
		}
	}
	if len(values) > 0 {
		d.Percentiles = append(d.Percentiles, reports.Percentile{Q: 1, Value: reports.Float(values[len(values)-1])})
	}
	return d
}

var nan = reports.Float(math.NaN())

// histogram counts values in the form of HdrHistogram. What never came is later
// than its latest: a percentile that somebody takes from it flatters nobody.
func histogram(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	h := &hdr.Histogram{}
	for _, v := range values {
		if ns := v * 1e6; ns < float64(hdr.Highest) {
			h.Record(time.Duration(math.Round(ns)))
		} else {
			h.Record(hdr.Highest)
		}
	}
	return h.Encode()
}

// infinite counts the infinite values at the end of ascending ones.
func infinite(sorted []float64) int64 {
	i := sort.Search(len(sorted), func(i int) bool { return math.IsInf(sorted[i], 1) })
	return int64(len(sorted) - i)
}

// buckets counts ascending values in buckets equally wide in the logarithm.
func buckets(sorted []float64) (list []reports.Bucket) {
	edge := func(i int) float64 { return smallestBucket * math.Pow(10, float64(i)/bucketsPerDecade) }
	for i, k := 0, 0; i < len(sorted); k++ {
		b := reports.Bucket{Low: edge(k - 1), High: edge(k)}
		if k == 0 {
			b.Low = 0
		}
		for i < len(sorted) && sorted[i] < b.High {
			b.Count++
			i++
		}
		if b.Count > 0 || len(list) > 0 {
			list = append(list, b)
		}
	}
	return list
}

// Timeline draws latency over the run by intended time, in slots, with the
// fault windows. It begins at the first intended instant of the selection. A
// slot of zero or less means a hundredth of the run, at least 100 ms.
func (h *History) Timeline(name, scenario string, slot time.Duration, o Options) reports.Timeline {
	s := h.choose(o)
	from, to := h.span(&s)
	if slot <= 0 {
		slot = max(time.Duration(to-from)/100, 100*time.Millisecond)
	}
	t := reports.Timeline{Name: name, Scenario: scenario, Slot: slot, Points: []reports.Point{}, Faults: []reports.FaultWindow{}}
	l := h.Latencies(o)
	slots := make([][]float64, (to-from)/int64(slot)+1)
	for i, due := range l.Series.Due {
		k := (due - from) / int64(slot)
		slots[k] = append(slots[k], l.Series.Value[i])
	}
	for k, values := range slots {
		t.Points = append(t.Points, point(time.Duration(k)*slot, values))
	}
	for _, f := range h.faults {
		end := f.end
		if end == 0 {
			end = to
		}
		if f.onset <= to && end >= from {
			t.Faults = append(t.Faults, reports.FaultWindow{
				Name: f.name, Onset: max(time.Duration(f.onset-from), 0), End: time.Duration(end - from),
			})
		}
	}
	return t
}

func point(at time.Duration, values []float64) reports.Point {
	sort.Float64s(values)
	finite := values[:len(values)-int(infinite(values))]
	p := reports.Point{At: at, Count: int64(len(values)), Lost: int64(len(values) - len(finite)), Max: nan}
	p.P50 = reports.Float(stats.Quantile(values, 0.5))
	p.P99 = reports.Float(stats.Quantile(values, 0.99))
	if len(finite) > 0 {
		p.Max = reports.Float(finite[len(finite)-1])
	}
	return p
}

// Hops says where the time goes: from the intended instant to the write, to
// the acknowledgement, to the witness, and on to the viewers. Legs without
// samples are left out.
func (h *History) Hops(scenario string, o Options) []reports.Hop {
	s := h.choose(o)
	var slip, ack, ingress, egress, whole []float64
	h.each(&s, func(stream int, seq uint64, m *message) {
		self := h.streams[stream].self
		if m.sent != 0 && !self {
			slip = append(slip, millis(m.sent-m.due))
		}
		if m.acked != 0 && m.sent != 0 {
			ack = append(ack, millis(m.acked-m.sent))
		}
		if m.witnessed != 0 && m.sent != 0 && !self {
			ingress = append(ingress, millis(m.witnessed-m.sent))
		}
		for _, n := range s.viewers {
			at, ok := h.arrival(&h.viewers[n], stream, seq)
			if !ok {
				continue
			}
			if m.witnessed != 0 {
				egress = append(egress, millis(at-m.witnessed))
			}
			if !self {
				whole = append(whole, millis(at-m.due))
			}
		}
	})
	legs := legsOf{scenario: scenario}
	legs.add("schedule → write", "t0i", "t0", "lateness of the generator", slip)
	legs.add("write → acknowledgement", "t0", "t0", "PUBACK back at the generator", ack)
	legs.add("write → broker", "t0", "t1", "seen by a witness subscriber: an upper bound", ingress)
	legs.add("broker → viewer", "t1", "t4", "may be negative: the witness is itself served by the broker", egress)
	legs.add("whole way", "t0i", "t4", "", whole)
	return legs.hops
}

// legsOf are the legs of a way that have samples.
type legsOf struct {
	scenario string
	hops     []reports.Hop
}

// add takes the times in ms of one leg over, and sorts them.
func (l *legsOf) add(name, from, to, note string, values []float64) {
	if len(values) == 0 {
		return
	}
	sort.Float64s(values)
	l.hops = append(l.hops, reports.Hop{
		Name: name, From: from, To: to, Scenario: l.scenario, N: int64(len(values)), Note: note,
		P50: reports.Float(stats.Quantile(values, 0.5)), P99: reports.Float(stats.Quantile(values, 0.99)),
	})
}

// Integrity is the account of every selected device over all its viewers.
func (h *History) Integrity(scenario string, o Options) []reports.Integrity {
	s := h.choose(o)
	rows := make([]reports.Integrity, len(h.streams))
	for _, id := range s.streams {
		stream := h.log.Index.Streams[id]
		rows[id] = reports.Integrity{Device: stream.Device, Scenario: scenario, Mode: reports.Mode(stream.Mode)}
	}
	h.each(&s, func(stream int, seq uint64, m *message) { h.account(&rows[stream], &s, stream, seq, m) })
	for _, odd := range h.oddity {
		r := &h.log.Records[odd.record]
		if r.Stream == record.NoStream || !h.pick(&s, odd) {
			continue
		}
		row := &rows[r.Stream]
		switch odd.kind {
		case duplicate:
			row.Duplicated++
		case reordered, excused:
			row.Reordered++
		case corrupted, misrouted:
			row.Corrupted++
		case phantom:
			row.Phantom++
		}
	}
	var list []reports.Integrity
	for _, id := range s.streams {
		list = append(list, rows[id])
	}
	return list
}

// account enters one message into the row of its device.
func (h *History) account(row *reports.Integrity, s *selection, stream int, seq uint64, m *message) {
	count := func(n *int64, yes bool) {
		if yes {
			*n++
		}
	}
	count(&row.Sent, m.wasSent())
	count(&row.Acked, m.acked != 0)
	count(&row.Blocked, !m.wasSent())
	count(&row.Witnessed, m.witnessed != 0)
	for _, n := range s.viewers {
		v := &h.viewers[n]
		if !v.owes(stream, m) || !m.wasSent() {
			continue
		}
		_, ok := h.arrival(v, stream, seq)
		count(&row.Delivered, ok)
		lost := !ok && h.wasLost(stream, m, s.BrokerInside)
		count(&row.Lost, lost)
		count(&row.Expected, ok || lost)
	}
}

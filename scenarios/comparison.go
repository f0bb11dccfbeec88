package scenarios

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"plumbline/harness/octets"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

func judgeApproaches(c *spec.Case) {
	facts, j := spec.Facts[approachFacts](c), newJudged(c)
	j.allShown("APP-01", facts)
	measured := j.measure(facts)
	j.Show(spec.Figures{
		Rig: &j.health, Devices: j.devices,
		Comparisons: []reports.Comparison{{
			Scenario: j.Scenario.ID, Title: "Ways to bring readings to a browser", Conditions: conditionsOf(facts),
			Approaches: reported(measured), Claims: claimsOf(measured),
		}},
	})
}

// in narrows what an oracle looks at to one part.
func (j *judged) in(id string, p approachPart) oracle.Options {
	o := j.options(id)
	o.Viewers, o.Window = p.Viewers, p.Window
	return o
}

// allShown judges that every viewer of every approach was shown what was due in its
// windows, but for what was declared to it since to be left out for something newer. A
// rig that stood still while the last of it was waited for proves no loss.
func (j *judged) allShown(id string, facts approachFacts) {
	var owed, lost, unconfirmed, doubts int64
	var found []reports.Finding
	for _, p := range facts.Parts {
		still := j.stood.Still(approachTail, p.Closed, p.Left)
		for name, o := range j.each(id, p) {
			d, list := j.history.Delivery(o)
			owed, unconfirmed = owed+d.Owed, unconfirmed+d.Unconfirmed
			if missing := p.missing(name, d); missing > 0 {
				gone := ofKind(list, "lost")
				gone = gone[:min(missing+d.Unconfirmed, int64(len(gone)))] // of what is missing as much may be left out as was declared
				if still {
					doubts += missing
					for i := range gone {
						gone[i].Confirmed = false
					}
				} else {
					lost += missing
				}
				found = append(found, gone...)
			}
			lost += d.Phantom + d.Misrouted + d.Corrupted + d.Duplicated
			found = append(found, ofKind(list, "phantom", "misrouted", "corrupt", "duplicate")...)
		}
	}
	j.unmet = append(j.unmet, rigStill(doubts, "readings did not come", j.stood.Untold(approachTail))...)
	j.none(id, "reading lost, doubled or damaged/readings lost, doubled or damaged", "readings due at viewers of all approaches", owed, lost, unconfirmed+doubts, found, j.samples(id))
}

// each narrows what an oracle looks at to one viewer of a part after the other.
func (j *judged) each(id string, p approachPart) iter.Seq2[string, oracle.Options] {
	return func(yield func(string, oracle.Options) bool) {
		for _, name := range p.Viewers {
			o := j.in(id, p)
			if o.Viewers = []string{name}; !yield(name, o) {
				return
			}
		}
	}
}

// missing is how many readings never came to a viewer, but for those that were declared to it.
func (p approachPart) missing(viewer string, d oracle.Delivery) int64 {
	return max(d.Lost-p.conflated(viewer), 0)
}

// conflated is how many readings a viewer was told to be left out since the window opened: what was left out before pays for no loss.
func (p approachPart) conflated(viewer string) int64 {
	return int64(p.Told[viewer]) - int64(p.ToldBefore[viewer])
}

// measured is an approach with what is needed beside its report.
type measured struct {
	reports.Approach
	viewers   int
	wire      octets.Counts // within the windows
	seen      viewer.Counters
	session   octets.Counts
	perBridge map[int]float64 // µs a reading, by round
	perClient map[int]float64
}

// measure makes the figures of every approach.
func (j *judged) measure(facts approachFacts) []measured {
	payload, readings := j.brought(facts.Parts)
	var all []measured
	for _, a := range facts.Approaches {
		m := measured{Approach: reports.Approach{ID: a.ID, Name: a.Name}, perBridge: map[int]float64{}, perClient: map[int]float64{}}
		m.wire.Told = true
		var latencies []float64
		var ages oracle.Ages
		var bytes int64
		var bridge, client, spent float64 // µs, readings
		for i, p := range facts.Parts {
			if p.Approach != a.ID {
				continue
			}
			m.take(p)
			for name, o := range j.each("", p) {
				latencies = append(latencies, shownOnly(j.history.Latencies(o).Series.Value, p.conflated(name))...)
				d, _ := j.history.Delivery(o)
				m.Lost += p.missing(name, d)
			}
			ages = ages.Join(j.history.Ages(j.in("", p)))
			bytes, m.Readings = bytes+payload[i], m.Readings+readings[i]
			b, c, known := above(facts.Parts, p)
			if known && readings[i] > 0 {
				bridge, client, spent = bridge+b, client+c, spent+float64(readings[i])
				m.perBridge[p.Round], m.perClient[p.Round] = b/float64(readings[i]), c/float64(readings[i])
			}
		}
		m.LatencyP50, m.LatencyP99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
		m.AgeP50, m.AgeP99 = reports.Float(ages.Quantile(0.5)), reports.Float(ages.Quantile(0.99))
		m.Bridge, m.Client = reports.CPU{PerReading: ratio(bridge, spent)}, reports.CPU{PerReading: ratio(client, spent)}
		m.layers(bytes, facts)
		all = append(all, m)
	}
	compare(all)
	return all
}

// shownOnly leaves out of latencies as many of what never came as were declared to be left
// out for something newer: nobody waited for them.
func shownOnly(values []float64, conflated int64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), func(v float64) bool {
		if !math.IsInf(v, 1) || conflated == 0 {
			return false
		}
		conflated--
		return true
	})
}

// take adds what was counted in one part.
func (m *measured) take(p approachPart) {
	m.viewers += len(p.Viewers)
	m.Viewers = max(m.Viewers, len(p.Viewers))
	m.Rounds++
	m.wire, m.seen = m.wire.Plus(p.Wire), plus(m.seen, p.Seen)
	m.session = m.session.Plus(p.Session)
	m.Conflated += int64(p.Seen.Conflated)
}

// brought returns bytes of payload and readings that came within the window of each part.
func (j *judged) brought(parts []approachPart) (payload, readings []int64) {
	payload, readings = make([]int64, len(parts)), make([]int64, len(parts))
	of := map[string]int{}
	for i, p := range parts {
		for _, name := range p.Viewers {
			of[name] = i
		}
	}
	log := j.history.Log()
	for i := range log.Records {
		r := &log.Records[i]
		if r.Kind != record.Received {
			continue
		}
		part, known := of[log.Index.Nodes[r.Node].Name]
		if known && r.At >= parts[part].Opened && r.At < parts[part].Closed {
			payload[part] += int64(r.Bytes)
			readings[part]++
		}
	}
	return payload, readings
}

// above returns the processor time of a part above that of the part of its round that
// had no viewers, in µs; false where it was not counted.
func above(parts []approachPart, p approachPart) (bridge, client float64, known bool) {
	i := slices.IndexFunc(parts, func(q approachPart) bool { return q.Approach == "" && q.Round == p.Round })
	if i < 0 || p.Over <= 0 || parts[i].Over <= 0 {
		return 0, 0, false
	}
	base, share := parts[i], p.Over.Seconds()/parts[i].Over.Seconds()
	return (p.Bridge.Seconds() - share*base.Bridge.Seconds()) * 1e6, (p.Client.Seconds() - share*base.Client.Seconds()) * 1e6, true
}

// layers tells for what bytes were used.
func (m *measured) layers(payload int64, facts approachFacts) {
	n := float64(m.Readings)
	message := float64(m.messageBytes())
	plain, tcp := float64(m.wire.Up.Plain+m.wire.Down.Plain), float64(m.wire.Up.TCP+m.wire.Down.TCP)
	headers := math.NaN()
	if m.wire.Told {
		headers = float64(m.wire.Up.Segments+m.wire.Down.Segments) * octets.SegmentHeader
	}
	m.Bytes = reports.Layers{
		Payload: ratio(float64(payload), n), Message: ratio(message, n), Framing: ratio(plain-message, n), TLS: ratio(tcp-plain, n),
		TCPIP: ratio(headers, n), Wire: ratio(tcp+headers, n),
	}
	m.Messages = int64(m.seen.Messages)
	m.Overhead = ratio(plain-message, float64(m.Messages))
	watched := facts.Load.Window.Seconds() * float64(m.viewers)
	m.Requests, m.Connections = ratio(float64(m.seen.Requests), watched), ratio(float64(m.session.Connections), float64(m.viewers))
}

// messageBytes is the size of all messages within the windows, both ways, as they went over
// the wire.
func (m *measured) messageBytes() uint64 { return m.seen.Bytes - m.seen.Saved + m.seen.SentBytes }

// heads returns what each message has beside itself: from the server, and from the client; NaN
// where none went that way.
func (m *measured) heads() (down, up float64) {
	down = float64(ratio(float64(m.wire.Down.Plain)-float64(m.seen.Bytes-m.seen.Saved), float64(m.seen.Messages)))
	said := m.seen.Sent + m.seen.Requests
	return down, float64(ratio(float64(m.wire.Up.Plain)-float64(m.seen.SentBytes), float64(said)))
}

// compare sets processor times in relation to the WebSocket that brings one reading a frame,
// or to the first approach where there is none.
func compare(all []measured) {
	if len(all) == 0 {
		return
	}
	ref := slices.IndexFunc(all, func(m measured) bool { return m.ID == wayWS })
	ref = max(ref, 0)
	for i := range all {
		all[i].Bridge.Ratio, all[i].Bridge.Least, all[i].Bridge.Most = related(all[i].Bridge, all[ref].Bridge, all[i].perBridge, all[ref].perBridge)
		all[i].Client.Ratio, all[i].Client.Least, all[i].Client.Most = related(all[i].Client, all[ref].Client, all[i].perClient, all[ref].perClient)
	}
}

// related is the ratio of two processor times, over all rounds and the least and most of any.
func related(own, ref reports.CPU, byRound, refByRound map[int]float64) (whole, least, most reports.Float) {
	whole, least, most = ratio(float64(own.PerReading), float64(ref.PerReading)), nan, nan
	for round, v := range byRound {
		r := float64(ratio(v, refByRound[round]))
		if math.IsNaN(r) {
			continue
		}
		if math.IsNaN(float64(least)) || r < float64(least) {
			least = reports.Float(r)
		}
		if math.IsNaN(float64(most)) || r > float64(most) {
			most = reports.Float(r)
		}
	}
	return whole, least, most
}

// ratio is a/b; NaN for what cannot be said.
func ratio(a, b float64) reports.Float {
	if !(b > 0) || math.IsNaN(a) {
		return nan
	}
	return reports.Float(a / b)
}

// quantile is the value that the share q of all does not exceed; NaN of none. What never
// came is the largest.
func quantile(values []float64, q float64) reports.Float {
	if len(values) == 0 {
		return nan
	}
	slices.Sort(values)
	return reports.Float(values[min(int(math.Ceil(q*float64(len(values)))), len(values))-1])
}

func reported(all []measured) []reports.Approach {
	out := make([]reports.Approach, len(all))
	for i, m := range all {
		out[i] = m.Approach
	}
	return out
}

// conditionsOf says under what the figures stand.
func conditionsOf(f approachFacts) []string {
	l := f.Load
	all := []string{
		fmt.Sprintf("%d devices publish %.0f messages a second in all over MQTT, evenly; each viewer watches all of them; %d viewers an approach, one approach at a time, %d rounds of %.3g s each, in changing order, within one run of one bridge with one journal.",
			l.Devices, l.Rate, l.Viewers, l.Cycles, l.Window.Seconds()),
		fmt.Sprintf("Bridge, viewers and load share %d cores and the loopback interface; TLS 1.3 throughout; segments are cut as on Ethernet (MSS 1460).", f.Cores),
		"Bytes are those of both directions within the windows, without handshakes: messages by the viewers, what TLS carries and its records at the socket, segments by the kernel (52 bytes of IPv4 and TCP each, acknowledgements included). Ethernet's own 38 bytes a frame are not among them.",
		fmt.Sprintf("HTTP requests carry %d header fields as a browser sends them, and a token of its session.", len(f.Headers)),
		"Processor time of the bridge, and of the viewers with their recording, is that above a part of the same round without viewers; ratios are to the WebSocket that brings one reading a frame, least and most of any round in brackets.",
		"Latency runs from the intended instant of a reading; the age is that of the value shown, over all time and topics.",
	}
	again := int64(0)
	for _, p := range f.Parts {
		again += p.Wire.Connections
	}
	if again > 0 {
		all = append(all, fmt.Sprintf("Within the windows %d connections were made anew, whose handshakes are among the bytes.", again))
	}
	for _, id := range slices.Sorted(maps.Keys(f.LeftOut)) {
		all = append(all, fmt.Sprintf("Not measured: %s, for %s.", id, f.LeftOut[id]))
	}
	return all
}

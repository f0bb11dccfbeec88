package oracle

import (
	"fmt"
	"strings"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

const (
	maxFindings = 100 // of one kind; counts go on
	maxContext  = 20  // records shown around a counter-example
)

// findings collects counter-examples, the first of each kind with its context.
type findings struct {
	history *History
	options Options
	kinds   map[string]int
	list    []reports.Finding
}

func (h *History) newFindings(s *selection) *findings {
	return &findings{history: h, options: s.Options, kinds: map[string]int{}}
}

func (f *findings) all() []reports.Finding { return f.list }

// add keeps a finding about record i, or about a message when i is negative.
func (f *findings) add(finding reports.Finding, i int) {
	// Confirmed and unconfirmed are counted apart, so that the one cannot
	// crowd out the other.
	kind := fmt.Sprint(finding.Kind, finding.Confirmed)
	f.kinds[kind]++
	if f.kinds[kind] > maxFindings {
		return
	}
	finding.Requirement = f.options.Requirement
	finding.Evidence = f.options.Evidence
	if finding.Evidence == "" {
		finding.Evidence = "records.bin"
	}
	if i >= 0 {
		finding.Detail += fmt.Sprintf(" (record %d)", i)
	}
	if f.kinds[kind] == 1 && i >= 0 {
		finding.Context = f.history.around(i)
	}
	f.list = append(f.list, finding)
}

// odd adds a finding about an arrival.
func (f *findings) odd(o oddity, confirmed bool, detail string) {
	r := &f.history.log.Records[o.record]
	name := f.history.viewers[r.Node].name
	f.add(f.history.finding(oddityNames[o.kind], name, r, o.seq, confirmed, detail), o.record)
}

// lost adds a finding about a message that did not arrive.
func (f *findings) lost(v *viewer, node, stream int, seq uint64, m *message, confirmed bool) {
	h := f.history
	device := h.log.Index.Streams[stream].Device
	detail := fmt.Sprintf("%s #%d, intended at %s, never reached the viewer; %s", device, seq, clock(m.due), m.evidence())
	finding := reports.Finding{
		Kind: "lost", Subject: v.name + " ← " + device, Detail: detail,
		Seq: seq, At: time.Duration(m.due), Confirmed: confirmed,
	}
	if f.kinds[fmt.Sprint("lost", confirmed)] == 0 {
		finding.Context = h.story(node, stream, seq)
	}
	f.add(finding, -1)
}

// evidence says how far a message is known to have come.
func (m *message) evidence() string {
	switch {
	case m.acked != 0 && m.witnessed != 0:
		return "acknowledged, and seen by the witness"
	case m.acked != 0:
		return "acknowledged, not seen by a witness"
	case m.witnessed != 0:
		return "seen by the witness"
	default:
		return "neither acknowledged nor seen by a witness"
	}
}

// finding describes one arrival.
func (h *History) finding(kind, viewer string, r *record.Record, seq uint64, confirmed bool, detail string) reports.Finding {
	return reports.Finding{
		Kind: kind, Subject: viewer + " ← " + h.device(r.Stream),
		Detail: fmt.Sprintf("%s #%d at %s: %s", h.device(r.Stream), seq, clock(r.At), detail),
		Seq:    seq, At: time.Duration(r.At), Confirmed: confirmed,
	}
}

func (h *History) device(stream uint32) string {
	if int(stream) >= len(h.streams) {
		return "unknown device"
	}
	return h.log.Index.Streams[stream].Device
}

// around shows the records of the same device at the same observer before and
// after record i.
func (h *History) around(i int) []string {
	r := h.log.Records[i]
	same := func(k int) bool {
		o := &h.log.Records[k]
		return o.Node == r.Node && o.Stream == r.Stream
	}
	first, before := i, 0
	for k := i - 1; k >= 0 && before < maxContext/2; k-- {
		if same(k) {
			first = k
			before++
		}
	}
	var lines []string
	for k := first; k < len(h.log.Records) && len(lines) < maxContext; k++ {
		if same(k) {
			lines = append(lines, h.describe(k, k == i))
		}
	}
	return lines
}

// story shows what every observer but the other viewers recorded of a message
// and of its neighbours.
func (h *History) story(node, stream int, seq uint64) []string {
	var lines []string
	for k := range h.log.Records {
		r := &h.log.Records[k]
		other := h.viewers[r.Node].isView && int(r.Node) != node
		if int(r.Stream) != stream || other || r.Seq+2 < seq || r.Seq > seq+2 {
			continue
		}
		lines = append(lines, h.describe(k, r.Seq == seq))
		if len(lines) == maxContext {
			break
		}
	}
	return lines
}

var kindNames = map[record.Kind]string{
	record.Sent: "sent", record.Acked: "acknowledged", record.Blocked: "blocked",
	record.Witnessed: "witnessed", record.Received: "received", record.Restored: "snapshot",
}

// describe writes one record as a line of text; the one in question is marked.
func (h *History) describe(i int, marked bool) string {
	r := &h.log.Records[i]
	var b strings.Builder
	mark := " "
	if marked {
		mark = ">"
	}
	fmt.Fprintf(&b, "%s %s %s %s %s #%d", mark, clock(r.At), h.log.Index.Nodes[r.Node].Name, kindNames[r.Kind], h.device(r.Stream), r.Seq)
	if r.Offset != 0 {
		fmt.Fprintf(&b, " offset %d", r.Offset)
	}
	if r.Kind == record.Sent {
		fmt.Fprintf(&b, " intended %s attempt %d", clock(r.Due), r.Aux)
	} else if m := h.at(r.Stream, r.Seq); m != nil && m.known && r.Kind != record.Acked {
		fmt.Fprintf(&b, " latency %.3f ms", millis(r.At-m.due))
	}
	for flag, name := range flagNames {
		if r.Flags&(1<<flag) != 0 {
			b.WriteString(" " + name)
		}
	}
	return b.String()
}

// flagNames are in the order of the bits.
var flagNames = [...]string{"retained", "DUP", "foreign", "corrupt", "catch-up", "misrouted"}

// clock writes an instant of the run clock in seconds.
func clock(ns int64) string { return fmt.Sprintf("%.6f s", float64(ns)/1e9) }

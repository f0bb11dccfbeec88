package oracle

import (
	"fmt"
	"math"
	"slices"

	"plumbline/reports"
)

// Stimulus is something that was done to a device, and the message that first
// told one viewer of it.
type Stimulus struct {
	Device string `json:"device"`
	Viewer string `json:"viewer"`
	What   string `json:"what"`   // for findings, for example "t = 21.5"
	At     int64  `json:"at_ns"`  // when it was begun, on the run clock
	Seq    uint64 `json:"seq"`    // position in the device's stream, 0 when no message told the viewer
	Passed bool   `json:"passed"` // the witness saw it pass the broker
}

// Responses returns the time from each stimulus to the arrival, as the records
// tell it, of the message that told the viewer of it; +Inf when none did though it
// passed the broker. What never came to the broker, and what the recording does
// not bear out, is left out and an unconfirmed finding.
func (h *History) Responses(o Options, list []Stimulus) (Latencies, []reports.Finding) {
	l := Latencies{history: h, options: o}
	l.grow(len(list))
	var found []reports.Finding
	say := func(s Stimulus, kind, detail string, confirmed bool) {
		found = append(found, reports.Finding{
			Requirement: o.Requirement, Kind: kind, Subject: s.Viewer + " ← " + s.Device, Detail: detail, Seq: s.Seq,
			Confirmed: confirmed, Evidence: o.Evidence,
		})
	}
	for _, s := range list {
		node := slices.IndexFunc(h.viewers, func(v viewer) bool { return v.isView && v.name == s.Viewer })
		stream := h.streamOf(s.Device)
		value := math.Inf(1)
		switch {
		case node < 0 || stream < 0:
			say(s, "not-recorded", "the recording knows no such viewer or device", false)
			continue
		case s.Seq == 0 && !s.Passed:
			say(s, "not-published", fmt.Sprintf("%s, set at %s, never came to the broker", s.What, clock(s.At)), false)
			continue
		case s.Seq == 0:
			l.Lost++
			say(s, "not-shown", fmt.Sprintf("%s, set at %s, passed the broker and never came", s.What, clock(s.At)), true)
		default:
			at, ok := h.arrival(&h.viewers[node], stream, s.Seq)
			if !ok {
				say(s, "not-recorded", fmt.Sprintf("%s came with #%d, whose arrival is not on record", s.What, s.Seq), false)
				continue
			}
			value = millis(at - s.At)
			if at < s.At {
				l.Negative++
			}
		}
		l.Series.Due = append(l.Series.Due, s.At)
		l.Series.Value = append(l.Series.Value, value)
		l.Stream = append(l.Stream, uint32(stream))
		l.Viewer = append(l.Viewer, uint16(node))
		l.Seq = append(l.Seq, s.Seq)
	}
	return l, found
}

// Heard returns when the driver of the device first had anything of it after the
// stimulus of response n, by the run clock, whatever was shown of it: what came
// before is not the system's. 0 when nothing is on record.
func (l Latencies) Heard(n int) int64 {
	for _, m := range l.history.streams[l.Stream[n]].messages {
		if m.due >= l.Series.Due[n] && m.due > 0 {
			return m.due
		}
	}
	return 0
}

// streamOf returns the number of a device's stream, -1 when it has none.
func (h *History) streamOf(device string) int {
	for n, s := range h.log.Index.Streams {
		if s.Device == device {
			return n
		}
	}
	return -1
}

package render

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf16"

	"plumbline/reports"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON schema (draft 2020-12) of summary.json. The caller
// owns the copy.
func Schema() []byte { return bytes.Clone(schema) }

// JSON writes the run as indented JSON. Times are UTC, empty lists are [], map
// keys are sorted: the same run gives the same bytes on every machine. Strings
// keep every character, those that a terminal would obey as escapes.
func JSON(w io.Writer, run *reports.Run) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(true)
	if err := enc.Encode(normalize(run)); err != nil {
		return wrap("json", err)
	}
	_, err := w.Write(escapeHidden(buf.Bytes()))
	return wrap("json", err)
}

// escapeHidden writes hidden characters as \uXXXX (RFC 8259 section 7). They can
// stand inside strings only; line ends outside are kept.
func escapeHidden(content []byte) []byte {
	if !bytes.ContainsFunc(content, func(r rune) bool { return r != '\n' && isHidden(r) }) {
		return content
	}
	var out bytes.Buffer
	for _, r := range string(content) {
		switch {
		case r == '\n' || !isHidden(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}

// normalize returns a copy whose JSON form does not depend on nil against
// empty slices or on time zones and monotonic readings.
func normalize(run *reports.Run) *reports.Run {
	n := *run
	n.Started, n.Finished = plainTime(n.Started), plainTime(n.Finished)
	n.Devices = list(n.Devices)
	n.Requirements = list(n.Requirements)
	n.Results = append([]reports.Result{}, n.Results...)
	for i := range n.Results {
		n.Results[i].Started = plainTime(n.Results[i].Started)
	}
	n.Latencies = append([]reports.Distribution{}, n.Latencies...)
	for i := range n.Latencies {
		n.Latencies[i].Buckets = list(n.Latencies[i].Buckets)
		n.Latencies[i].Percentiles = list(n.Latencies[i].Percentiles)
	}
	n.Timelines = append([]reports.Timeline{}, n.Timelines...)
	for i := range n.Timelines {
		n.Timelines[i].Points = list(n.Timelines[i].Points)
		n.Timelines[i].Faults = list(n.Timelines[i].Faults)
	}
	n.Hops, n.Integrity = list(n.Hops), list(n.Integrity)
	normalizeCourse(&n)
	n.Deviations, n.Evidence = list(n.Deviations), list(n.Evidence)
	if n.Deselected != nil {
		left := *n.Deselected
		left.Scenarios, left.Requirements = list(left.Scenarios), list(left.Requirements)
		n.Deselected = &left
	}
	n.SUT.Artifacts, n.SUT.Capabilities = list(n.SUT.Artifacts), list(n.SUT.Capabilities)
	if n.Environment == nil {
		n.Environment = map[string]string{}
	}
	return &n
}

// normalizeCourse does it for what a run may leave out.
func normalizeCourse(n *reports.Run) {
	n.Rasters = append([]reports.Raster(nil), n.Rasters...)
	for i := range n.Rasters {
		n.Rasters[i].Rows = list(n.Rasters[i].Rows)
	}
	n.Recoveries = append([]reports.Recovery(nil), n.Recoveries...)
	for i := range n.Recoveries {
		n.Recoveries[i].Returns = list(n.Recoveries[i].Returns)
	}
	n.Resources = append([]reports.Resources(nil), n.Resources...)
	for i := range n.Resources {
		n.Resources[i].Samples = list(n.Resources[i].Samples)
	}
	n.Comparisons = append([]reports.Comparison(nil), n.Comparisons...)
	for i := range n.Comparisons {
		c := &n.Comparisons[i]
		c.Conditions, c.Approaches, c.Claims = list(c.Conditions), list(c.Approaches), list(c.Claims)
	}
	if n.Uncertainty != nil {
		u := *n.Uncertainty
		u.Components = list(u.Components)
		n.Uncertainty = &u
	}
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func plainTime(t time.Time) time.Time { return t.Round(0).UTC() }

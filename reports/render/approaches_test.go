package render

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"plumbline/reports"
)

// sampleCompared is a run that compared two approaches, of which one could not be looked into.
func sampleCompared() *reports.Run {
	run := sampleCertified()
	nan := reports.Float(math.NaN())
	none := reports.CPU{PerReading: nan, Ratio: nan, Least: nan, Most: nan}
	run.Comparisons = []reports.Comparison{{
		Scenario: "approaches", Title: "Ways to bring readings", Conditions: []string{"20 devices <b>publish</b>."},
		Approaches: []reports.Approach{
			{
				ID: "ws", Name: "WebSocket | one reading a frame", Viewers: 12, Rounds: 5, Readings: 60_000, LatencyP50: 0.9, LatencyP99: 4.1, AgeP50: 51, AgeP99: 103,
				Bytes: reports.Layers{Payload: 90, Message: 205, Framing: 4, TLS: 22, TCPIP: 78, Wire: 309}, Overhead: 4, Messages: 60_000, Connections: 1,
				Bridge: reports.CPU{PerReading: 12, Ratio: 1, Least: 1, Most: 1}, Client: reports.CPU{PerReading: 14, Ratio: 1, Least: 1, Most: 1},
			},
			{ID: "poll", Name: "polling every second", LatencyP50: reports.Float(math.Inf(1)), LatencyP99: nan, AgeP50: 550, AgeP99: 1090,
				Bytes: reports.Layers{Payload: 90, Message: 130, Framing: 5, TLS: 1, TCPIP: nan, Wire: nan}, Overhead: 950, Bridge: none, Client: none},
		},
		Claims: []reports.Claim{
			{ID: "framing", Text: "a frame adds 2 to 14 bytes", Standing: reports.Holds, Figure: "ws 4 B"},
			{ID: "cpu", Text: "it costs less", Standing: reports.HoldsPartly, Figure: "beside <script>some</script>"},
			{ID: "x", Text: "it is free", Standing: reports.HoldsNot, Figure: "12 µs"}, {ID: "y", Text: "it is fun", Standing: reports.HoldsOpen, Figure: "nothing"},
		},
	}}
	return run
}

func TestApproachesAsTables(t *testing.T) {
	var b bytes.Buffer
	if err := Approaches(&b, sampleCompared()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| A frame adds 2 to 14 bytes | holds | ws 4 B |\n", "holds under conditions", "does not hold", "not established",
		`| WebSocket \| one reading a frame | 0.9 / 4.1 | 51 / 103 | 309 | 205 | 4 | 22 | 78 | 4 | 0 | 1 | 0 | 12 |`, "| ∞ / — | 550 / ", `- 20 devices &lt;b&gt;publish&lt;/b&gt;.`, `run 20251123T094107Z\_bench\_41d0c7e9 of 2025-11-23`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if err := Approaches(&b, sampleCertified()); !errors.Is(err, ErrApproaches) {
		t.Errorf("a run that compared nothing: %v", err)
	}
}

// TestApproachesOnThePage: the part of the page is there, escaped, with its figures beside the plot; and
// only where there is something to compare.
func TestApproachesOnThePage(t *testing.T) {
	page := func(run *reports.Run) string {
		t.Helper()
		var b bytes.Buffer
		if err := HTML(&b, run); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	run := sampleCompared()
	text := page(run)
	for _, want := range []string{
		`<section id="approaches"`, `<a href="#approaches">`, `<span class="chip pass">holds</span>`, `<span class="chip open">holds under conditions</span>`,
		`<span class="chip fail">does not hold</span>`, `<span class="chip none">not established</span>`, "beside &lt;script&gt;some", `class="l-framing"`, "550 ms",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(page(sampleCertified()), `id="approaches"`) {
		t.Error("the part stands where nothing was compared")
	}
	checkPlot(t, "approaches", plotApproaches("a0", run.Comparisons[0]).Plot)
	run.Comparisons[0].Approaches = []reports.Approach{}
	if strings.Contains(page(run), "For what bytes are used") {
		t.Error("a plot of nothing")
	}
	if err := checkSchema(t, toJSON(t, sampleCompared())); err != nil {
		t.Error(err)
	}
}

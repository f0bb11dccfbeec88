package render

import (
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// checkPlot refuses broken XML, figures that are no numbers, marks outside the
// drawing and a missing text alternative.
func checkPlot(t *testing.T, name string, plot template.HTML) {
	t.Helper()
	var width, height float64
	seen := map[string]bool{}
	dec := xml.NewDecoder(strings.NewReader(string(plot)))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		el, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		seen[el.Name.Local] = true
		for _, a := range el.Attr {
			switch a.Name.Local {
			case "viewBox":
				f := strings.Fields(a.Value)
				width, _ = strconv.ParseFloat(f[2], 64)
				height, _ = strconv.ParseFloat(f[3], 64)
			case "x", "x1", "x2", "cx":
				checkCoordinate(t, name, el.Name.Local, a.Value, width)
			case "y", "y1", "y2", "cy":
				checkCoordinate(t, name, el.Name.Local, a.Value, height)
			case "width", "height":
				checkCoordinate(t, name, el.Name.Local, a.Value, max(width, height))
			}
		}
	}
	if !seen["title"] || !seen["desc"] || !seen["text"] {
		t.Errorf("%s lacks a title, a description or words: %v", name, seen)
	}
	if regexp.MustCompile(`NaN|Inf|%!`).MatchString(string(plot)) {
		t.Errorf("%s has a figure that is none: %s", name, plot)
	}
}

func checkCoordinate(t *testing.T, name, element, text string, most float64) {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < -0.05 || v > most+0.05 {
		t.Errorf("%s: <%s> at %s is outside 0 to %v", name, element, text, most)
	}
}

func TestPlotsOfOddData(t *testing.T) {
	nan, inf := reports.Float(math.NaN()), reports.Float(math.Inf(1))
	limits := []reports.Limit{{Requirement: "LAT-02", Q: 0.99, Value: 100}}
	for name, d := range map[string]reports.Distribution{
		"nothing":      {},
		"limits only":  {Limits: limits},
		"all lost":     {N: 10, Lost: 10, Min: inf, Mean: inf, Max: inf, Percentiles: []reports.Percentile{{Q: 0.5, Value: inf}, {Q: 0.99, Value: inf}}, Limits: limits},
		"tail lost":    {N: 10, Lost: 1, Min: 1, Max: inf, Percentiles: []reports.Percentile{{Q: 0.5, Value: 2}, {Q: 0.9, Value: 3}, {Q: 0.99, Value: inf}}, Limits: limits},
		"one message":  {N: 1, Min: 5, Mean: 5, Max: 5, Buckets: []reports.Bucket{{Low: 5, High: 5, Count: 1}}, Percentiles: []reports.Percentile{{Q: 0.5, Value: 5}}},
		"from zero":    {N: 2, Buckets: []reports.Bucket{{Low: 0, High: 0.1, Count: 2}}, Percentiles: []reports.Percentile{{Q: 0, Value: 0}, {Q: 1, Value: 0.1}}},
		"not known":    {N: 1, Min: nan, Mean: nan, Max: nan, Percentiles: []reports.Percentile{{Q: 0.5, Value: nan}}},
		"huge":         {N: 1 << 60, Buckets: []reports.Bucket{{Low: 1e-6, High: 1e9, Count: 1 << 60}}, Percentiles: []reports.Percentile{{Q: 1 - 1e-12, Value: 1e9}}, Limits: limits},
		"odd quantile": {N: 1, Buckets: []reports.Bucket{{Low: -1, High: -0.5, Count: 1}, {Low: 1, High: 2, Count: -4}}, Percentiles: []reports.Percentile{{Q: -1, Value: 1}, {Q: 2, Value: 1}}},
	} {
		checkPlot(t, name+" histogram", plotDistribution("a", d).Plot)
		checkPlot(t, name+" curve", plotPercentiles("a", d).Plot)
	}
	for name, tl := range map[string]reports.Timeline{
		"nothing":    {},
		"all lost":   {Slot: time.Second, Points: []reports.Point{{Lost: 5, P50: inf, P99: inf, Max: inf}}},
		"no points":  {Slot: time.Second, Faults: []reports.FaultWindow{{Name: strings.Repeat("long name ", 9), Onset: time.Second, End: time.Second}}},
		"many fault": {Slot: time.Second, Points: []reports.Point{{P50: 1, P99: 2, Max: 3}}, Faults: make([]reports.FaultWindow, 40)},
		"gaps":       {Slot: time.Second, Points: []reports.Point{{P50: 1, P99: 2, Max: 3}, {At: time.Second, P50: nan, P99: nan, Max: nan}, {At: 2 * time.Second, P50: 1, P99: 2, Max: 9}}},
	} {
		checkPlot(t, name+" timeline", plotTimeline("a", tl).Plot)
	}
	checkPlot(t, "hops", plotHops("a", "s", []reports.Hop{{Name: "x", P50: nan, P99: inf}, {Name: "y", P50: 1, P99: 3}}, limits).Plot)
	checkPlot(t, "no time", plotHops("a", "s", []reports.Hop{{Name: "x"}}, nil).Plot)
}

// TestLimitIsDrawn: a limit that is not in the picture is no limit to the reader.
func TestLimitIsDrawn(t *testing.T) {
	d := sampleDistributions()[0]
	plot := string(plotDistribution("a", d).Plot)
	if n := strings.Count(plot, `class="limit"`); n != 3 || !strings.Contains(plot, "LAT-03  p99.9 ≤ 250 ms") {
		t.Errorf("%d limit lines, want 3 with names", n)
	}
	if n := strings.Count(string(plotPercentiles("a", d).Plot), `class="limit-cap"`); n != 3 {
		t.Errorf("%d limit caps, want 3", n)
	}
	if n := strings.Count(plot, `class="bar"`); n != len(d.Buckets) {
		t.Errorf("%d bars for %d buckets", n, len(d.Buckets))
	}
	if n := strings.Count(string(plotTimeline("a", sampleTimeline()).Plot), `class="fault"`); n != 3 {
		t.Errorf("%d shaded faults, want 3", n)
	}
}

func TestGauge(t *testing.T) {
	if plotGauge(nil) != "" || plotGauge(&reports.Measurement{Limit: 0}) != "" || plotGauge(&reports.Measurement{Limit: 5, Estimate: reports.Float(math.NaN())}) != "" {
		t.Error("a gauge was drawn without figure or limit")
	}
	inside := string(plotGauge(&reports.Measurement{Limit: 100, Estimate: 50, Upper: 80}))
	outside := string(plotGauge(&reports.Measurement{Limit: 100, Estimate: reports.Float(math.Inf(1)), Upper: reports.Float(math.Inf(1))}))
	if !strings.Contains(inside, `class="bar"`) || !strings.Contains(inside, "whisker") || !strings.Contains(outside, "bar-over") {
		t.Errorf("inside %s, outside %s", inside, outside)
	}
}

func TestScaleAndTicks(t *testing.T) {
	s := scale{low: 1, high: 1000, from: 0, to: 300, log: true}
	for v, want := range map[float64]float64{1: 0, 10: 100, 1000: 300, 0.001: 0, 1e9: 300} {
		if got := s.at(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("at(%v) = %v, want %v", v, got, want)
		}
	}
	if low, high := logRange(0.23, 153); low != 0.2 || high != 200 {
		t.Errorf("logRange = %v, %v", low, high)
	}
	if low, high := logRange(math.Inf(1), 0); !(low > 0 && high > low) {
		t.Errorf("logRange of nothing = %v, %v", low, high)
	}
	ticks := linearTicks(45, 10)
	if len(ticks) != 10 || ticks[9].label != "45" {
		t.Errorf("linearTicks(45) = %v", ticks)
	}
	if got := nineTicks(4); got[len(got)-1].label != "99.99" || got[2].label != "90" {
		t.Errorf("nineTicks = %v", got)
	}
}

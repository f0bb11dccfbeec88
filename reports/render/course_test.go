package render

import (
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

func TestModes(t *testing.T) {
	buckets := func(counts ...int64) (d reports.Distribution) {
		for i, n := range counts {
			low := math.Pow(10, float64(i)/10)
			d.Buckets = append(d.Buckets, reports.Bucket{Low: low, High: low * math.Pow(10, 0.1), Count: n})
			d.N += n
		}
		return d
	}
	for _, c := range []struct {
		name string
		d    reports.Distribution
		want int
	}{
		{"nothing", reports.Distribution{}, 0},
		{"one", buckets(1, 10, 100, 10, 1), 1},
		{"a flat top is one", buckets(5, 50, 50, 50, 5), 1},
		{"ripples are one", buckets(100, 90, 95, 88, 40), 1},
		{"a delayed acknowledgement", buckets(10, 1000, 900, 50, 2, 0, 0, 0, 3, 40, 4), 2},
		{"a single late message is none", buckets(1000, 1000, 10, 0, 0, 0, 0, 1), 1},
		{"all in one bucket", buckets(7), 1},
	} {
		if got := modesOf(c.d); len(got) != c.want {
			t.Errorf("%s: %d modes %+v, want %d", c.name, len(got), got, c.want)
		}
	}
	text := modesText(modesOf(sampleDistributions()[0]))
	if !strings.Contains(text, "2 modes") || !strings.Contains(text, "near 1.1 ms") || !strings.Contains(text, "41 ms (0.6") && !strings.Contains(text, "42 ms (0.6") {
		t.Errorf("the modes of the sample: %s", text)
	}
}

func TestPlotsOfTheCourse(t *testing.T) {
	nan := reports.Float(math.NaN())
	many := reports.Raster{Scenario: "s", Slot: time.Second}
	for range 200 {
		many.Rows = append(many.Rows, reports.RasterRow{Device: "device-with-a-name-that-is-much-too-long", Cells: strings.Repeat("olbdrucp.?", 13)})
	}
	for name, r := range map[string]reports.Raster{
		"no slots": {Rows: []reports.RasterRow{{Device: "d"}}}, "no time": {Rows: []reports.RasterRow{{Device: "d", Cells: "ol"}}},
		"uneven": {Slot: 1, Rows: []reports.RasterRow{{Device: "a", Cells: "o"}, {Device: "b", Cells: "ool"}}}, "many": many,
	} {
		c := plotRaster("a", r)
		checkPlot(t, "raster, "+name, c.Plot)
		if len(c.Plot) > 2<<20 {
			t.Errorf("raster, %s: %d bytes", name, len(c.Plot))
		}
	}
	limits := []reports.Limit{{Requirement: "REC-01", Value: 2000}, {Requirement: "REC-04", Value: 1e9}}
	for name, r := range map[string]reports.Recovery{
		"never back": {Returns: []reports.Return{{Viewer: "v", Back: nan, Subscribed: nan, Fresh: nan}}}, "no time at all": {Returns: []reports.Return{{Viewer: "v"}}},
		"backwards": {Returns: []reports.Return{{Viewer: "v", Back: 5, Subscribed: 3, Fresh: -1}}}, "storm": sampleRecovery("s", 1000),
	} {
		checkPlot(t, "ladder, "+name, plotLadder("a", r, limits).Plot)
	}
	for name, r := range map[string]reports.Resources{
		"one sample": {Samples: []reports.Usage{{}}}, "no descriptors": {Samples: []reports.Usage{{Files: -1}, {At: 5, Files: -1}}}, "usual": sampleResources("s", 30, sampleTimeline().Faults),
		"no time between": {Samples: []reports.Usage{{At: 1, CPU: 1}, {At: 1, CPU: 2}}},
	} {
		for _, plot := range plotResources("a", r).Plots {
			checkPlot(t, "resources, "+name, plot)
		}
	}
	for name, m := range map[string]*reports.Measurement{
		"two": {Unit: "ms", Limit: 3, Runs: []reports.Float{1, 2}}, "lost": {Limit: reports.Float(math.Inf(1)), Runs: []reports.Float{nan, 1, reports.Float(math.Inf(1))}}, "zero": {Runs: []reports.Float{0, 0}},
	} {
		c, ok := plotRug("a", "x", m)
		if !ok {
			t.Fatalf("no strokes for %s", name)
		}
		checkPlot(t, "strokes, "+name, c.Plot)
	}
	if _, ok := plotRug("a", "x", nil); ok {
		t.Error("strokes of nothing")
	}
}

// TestCPUAfterARestart: the time of a new process begins anew, which is no negative share.
func TestCPUAfterARestart(t *testing.T) {
	cpu := curvesOf(reports.Resources{Samples: []reports.Usage{{At: time.Second, CPU: time.Second}, {At: 2 * time.Second, CPU: 1500 * time.Millisecond}, {At: 3 * time.Second}}})[0].values
	if !math.IsNaN(cpu[0]) || cpu[1] != 50 || !math.IsNaN(cpu[2]) {
		t.Errorf("CPU %v", cpu)
	}
}

// TestWaterfall: a leg beside the way does not push the next one, and the whole way
// begins at its start.
func TestWaterfall(t *testing.T) {
	starts, _ := hopStarts([]reports.Hop{{From: "t0i", To: "t0", P50: 1}, {From: "t0", To: "t0", P50: 5}, {From: "t0", To: "t1", P50: 2}, {From: "t1", To: "t4", P50: 4}, {From: "t0i", To: "t4", P50: 7}})
	for i, want := range []float64{0, 1, 1, 3, 0} {
		if starts[i] != want {
			t.Errorf("leg %d begins at %v, want %v", i, starts[i], want)
		}
	}
}

// TestEveryPlotHasItsFigures: each plot of the page is followed by a table.
func TestEveryPlotHasItsFigures(t *testing.T) {
	page := rendered(t, HTML, sampleMixed())
	plots, tables := strings.Count(page, `<div class="chart">`), strings.Count(page, `<details class="data">`)
	if plots < 15 || plots != tables {
		t.Errorf("%d plots, %d tables", plots, tables)
	}
	if bare := strings.Count(page, `class="plot"`) - strings.Count(page, `role="img" aria-labelledby`); bare != 0 {
		t.Errorf("%d plots have no text", bare)
	}
}

// TestTheTellingRasterIsOpen: of rasters without trouble the largest, by cells.
func TestTheTellingRasterIsOpen(t *testing.T) {
	row := func(n int) []reports.RasterRow {
		return []reports.RasterRow{{Device: "d", Cells: strings.Repeat("o", n)}}
	}
	got := viewRasters([]reports.Raster{{Scenario: "many, short", Rows: append(row(1), row(1)...)}, {Scenario: "empty"}, {Scenario: "long", Rows: row(9)}})
	if len(got) != 2 || !got[0].Folded || got[1].Folded || got[1].Scenario != "long" || len(got[1].Chart.Table.Rows) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAttemptsLedger(t *testing.T) {
	run := sampleMixed()
	void := 0
	for _, a := range viewAttempts(run, run.Judgements()) {
		if a.Void {
			void++
			if !strings.Contains(a.Counted, "GEN") || a.Number != 1 {
				t.Errorf("%+v", a)
			}
		}
	}
	if void != 1 {
		t.Errorf("%d attempts are void, want 1", void)
	}
	for _, g := range viewGates(run, newView(run).Requirements) {
		if g.Code == reports.ReasonGenerator && (len(g.Hits) != 1 || g.Hits[0].Requirement.ID != "LAT-01") {
			t.Errorf("gate GEN names %+v", g.Hits)
		}
	}
}

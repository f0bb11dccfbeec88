package render

import (
	"sort"

	"plumbline/reports"
)

// drawing is one plot with its heading.
type drawing struct {
	Title, Scenario, Caption string
	Chart                    chart
	Notes                    []string
	Folded                   bool // of several alike, only the telling ones are open
	Bad                      string
}

type latencyView struct {
	reports.Distribution
	Histogram, Curve chart
	Modes            string
	Rows             []reports.Percentile
	Folded           bool
}

type resourceView struct {
	resourceCurves
	Bench, Scenario string
	Folded          bool
}

// byWeight puts the distributions with limits first and, among equals, the larger
// ones.
func byWeight(all []reports.Distribution) []reports.Distribution {
	sorted := append([]reports.Distribution(nil), all...)
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if (len(a.Limits) > 0) != (len(b.Limits) > 0) {
			return len(a.Limits) > 0
		}
		return a.N > b.N
	})
	return sorted
}

// viewLatencies leaves the weightiest distribution open and the others one click
// away.
func viewLatencies(all []reports.Distribution) []latencyView {
	sorted := byWeight(all)
	out := make([]latencyView, 0, len(sorted))
	for i, d := range sorted {
		l := latencyView{Distribution: d, Histogram: plotDistribution("h"+itoa(i), d), Curve: plotPercentiles("c"+itoa(i), d), Modes: modesText(modesOf(d)), Folded: i > 0}
		for _, p := range d.Percentiles {
			if isRoundQuantile(p.Q) {
				l.Rows = append(l.Rows, p)
			}
		}
		out = append(out, l)
	}
	return out
}

// viewTimelines leaves the first open, and the first with a fault.
func viewTimelines(all []reports.Timeline) (out []drawing) {
	faulted := false
	for i, t := range all {
		d := drawing{Title: t.Name, Scenario: t.Scenario, Caption: describeTimeline(t), Chart: plotTimeline("t"+itoa(i), t),
			Folded: i > 0 && (faulted || len(t.Faults) == 0)}
		faulted = faulted || len(t.Faults) > 0
		out = append(out, d)
	}
	return out
}

// viewHops draws one waterfall per scenario: that of first, which is open, and the
// others in order of appearance.
func viewHops(run *reports.Run, first string) (out []drawing) {
	var order []string
	by := map[string][]reports.Hop{}
	for _, h := range run.Hops {
		if by[h.Scenario] == nil {
			order = append(order, h.Scenario)
		}
		by[h.Scenario] = append(by[h.Scenario], h)
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i] == first && order[j] != first })
	for i, scenario := range order {
		hops, budget := by[scenario], limitsIn(run, scenario)
		d := drawing{Title: "Where the time goes", Scenario: scenario, Caption: describeHops(hops, budget),
			Chart: plotHops("w"+itoa(i), scenario, hops, budget), Folded: i > 0}
		for _, h := range hops {
			if h.Note != "" {
				d.Notes = append(d.Notes, h.Name+": "+h.Note)
			}
		}
		out = append(out, d)
	}
	return out
}

// limitsIn are the limits of the whole way that the run declares in a scenario.
func limitsIn(run *reports.Run, scenario string) (limits []reports.Limit) {
	for _, d := range run.Latencies {
		if d.Scenario == scenario {
			limits = append(limits, d.Limits...)
		}
	}
	return limits
}

// viewRasters leaves those open in which something went wrong, or else the first.
func viewRasters(all []reports.Raster) (out []drawing) {
	troubled := 0
	for i, r := range all {
		if len(r.Rows) == 0 {
			continue
		}
		d := drawing{Title: "Device by device", Scenario: r.Scenario, Caption: describeRaster(r), Chart: plotRaster("i"+itoa(i), r), Folded: true}
		for _, row := range r.Rows {
			if letter := gravest(row.Cells); letter != '.' && letter != 'o' && letter != 'b' && letter != 'u' {
				d.Bad = "irregular"
			}
		}
		if d.Bad != "" {
			d.Folded = troubled >= 3
			troubled++
		}
		out = append(out, d)
	}
	if troubled == 0 && len(out) > 0 {
		out[widest(all)].Folded = false
	}
	return out
}

// widest is the place, among the rasters with rows, of that with the most cells.
func widest(all []reports.Raster) (at int) {
	place, most := 0, 0
	for _, r := range all {
		if len(r.Rows) == 0 {
			continue
		}
		if cells := len(r.Rows) * len(r.Rows[0].Cells); cells > most {
			at, most = place, cells
		}
		place++
	}
	return at
}

// viewRecoveries holds each ladder against the times that the profile allows in its
// scenario.
func viewRecoveries(run *reports.Run) (out []drawing) {
	for i, r := range run.Recoveries {
		if len(r.Returns) == 0 {
			continue
		}
		var limits []reports.Limit
		for _, j := range run.Judgements() {
			for _, res := range j.Standing {
				if m := res.Measurement; j.Requirement.Family() == "REC" && res.Scenario == r.Scenario && m != nil && m.Unit == "ms" && m.Limit > 0 {
					limits = append(limits, reports.Limit{Requirement: j.Requirement.ID, Value: float64(m.Limit)})
				}
			}
		}
		out = append(out, drawing{Title: "The way back", Scenario: r.Scenario, Caption: describeLadder(r, limits),
			Chart: plotLadder("b"+itoa(i), r, limits), Folded: len(out) > 0})
	}
	return out
}

// viewResources leaves the bench with the most samples open.
func viewResources(all []reports.Resources) (out []resourceView) {
	most := 0
	for i, r := range all {
		if len(r.Samples) > len(all[most].Samples) {
			most = i
		}
	}
	for i, r := range all {
		if len(r.Samples) > 1 {
			out = append(out, resourceView{resourceCurves: plotResources("u"+itoa(i)+"-", r), Bench: r.Name, Scenario: r.Scenario, Folded: i != most})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return !out[i].Folded && out[j].Folded })
	return out
}

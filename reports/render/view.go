package render

import (
	"html/template"
	"sort"
	"strings"

	"plumbline/reports"
)

// view is what the page template shows: the run, arranged.
type view struct {
	Run          *reports.Run
	Counts       reports.Counts
	Class        string // style class of the overall verdict
	Lead         string // one sentence for the reader in a hurry
	Standing     string
	Summary      []string
	Facts        []fact
	Modes        string
	Duration     string
	Requirements []requirementView
	Open         []requirementView // those that keep the run from passing, worst first
	Latencies    []latencyView
	Timelines    []drawing
	Hops         []drawing
	Integrity    integrityView
	Environment  []pair
	RigSentence  string
}

type fact struct {
	Label, Value, Note string
	Bad                bool
}

type pair struct{ Name, Value string }

// drawing is one plot with its heading.
type drawing struct {
	Title, Scenario, Caption string
	Plot                     template.HTML
	Notes                    []string
	Folded                   bool // of several alike, only the telling ones are open
}

type latencyView struct {
	reports.Distribution
	Histogram, Curve template.HTML
	Rows             []reports.Percentile
	Folded           bool
}

type requirementView struct {
	reports.Judgement
	Anchor   string
	Headline string
	Gauge    template.HTML
	Results  []resultView
}

type resultView struct {
	*reports.Result
	Shown      []reports.Finding
	More       int
	Superseded bool
	Folded     bool // figures and procedure wait behind a click: it passed
}

// integrityView groups devices by scenario with totals.
type integrityView struct {
	Groups []integrityGroup
	Fold   bool // too many rows to show unfolded
}

type integrityGroup struct {
	Scenario string
	Rows     []reports.Integrity
	Total    reports.Integrity
}

// Beyond these the page folds or cuts; summary.json always has everything.
const (
	maxOpenDevices = 25
	maxFindings    = 40
)

func newView(run *reports.Run) view {
	v := view{
		Run: run, Counts: run.Count(), Class: verdictClass(run.Overall), Lead: lead(run), Standing: standing(run),
		Summary: managerSummary(run), Facts: facts(run), Modes: modes(run),
		Duration: span(run.Finished.Sub(run.Started)), RigSentence: rigSentence(run.Rig),
		Integrity: groupIntegrity(run.Integrity),
	}
	for i, j := range run.Judgements() {
		v.Requirements = append(v.Requirements, viewRequirement("r"+itoa(i+1), j))
	}
	v.Open = openItems(v.Requirements)
	v.Latencies = viewLatencies(run.Latencies)
	for i, t := range run.Timelines {
		v.Timelines = append(v.Timelines, drawing{Title: t.Name, Scenario: t.Scenario, Caption: describeTimeline(t), Plot: plotTimeline("t"+itoa(i), t),
			Folded: i > 0 && len(t.Faults) == 0})
	}
	first, _ := leading(run)
	v.Hops = viewHops(run.Hops, first.Scenario)
	for name, value := range run.Environment {
		v.Environment = append(v.Environment, pair{name, value})
	}
	sort.Slice(v.Environment, func(i, j int) bool { return v.Environment[i].Name < v.Environment[j].Name })
	return v
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
		l := latencyView{Distribution: d, Histogram: plotDistribution("h"+itoa(i), d), Curve: plotPercentiles("c"+itoa(i), d), Folded: i > 0}
		for _, p := range d.Percentiles {
			if isRoundQuantile(p.Q) {
				l.Rows = append(l.Rows, p)
			}
		}
		out = append(out, l)
	}
	return out
}

func viewRequirement(anchor string, j reports.Judgement) requirementView {
	r := requirementView{Judgement: j, Anchor: anchor}
	if j.Deciding != nil {
		r.Headline = j.Deciding.Headline
		r.Gauge = plotGauge(j.Deciding.Measurement)
	}
	add := func(res *reports.Result, superseded bool) {
		rv := resultView{Result: res, Shown: res.Findings, Superseded: superseded, Folded: superseded || res.Verdict == reports.Pass}
		if len(rv.Shown) > maxFindings {
			rv.Shown, rv.More = rv.Shown[:maxFindings], len(rv.Shown)-maxFindings
		}
		r.Results = append(r.Results, rv)
	}
	for _, res := range j.Standing {
		add(res, false)
	}
	for _, res := range j.Superseded {
		add(res, true)
	}
	return r
}

// openItems picks what did not pass, worst first, in catalogue order within
// one verdict.
func openItems(all []requirementView) []requirementView {
	var out []requirementView
	for _, r := range all {
		if r.Verdict != reports.Pass && r.Verdict != reports.NotApplicable {
			out = append(out, r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Verdict, out[j].Verdict
		return a != b && reports.Worst(a, b) == a
	})
	return out
}

// viewHops draws one waterfall per scenario: that of first, which is open, and the
// others in order of appearance.
func viewHops(hops []reports.Hop, first string) []drawing {
	var order []string
	by := map[string][]reports.Hop{}
	for _, h := range hops {
		if by[h.Scenario] == nil {
			order = append(order, h.Scenario)
		}
		by[h.Scenario] = append(by[h.Scenario], h)
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i] == first && order[j] != first })
	var out []drawing
	for i, scenario := range order {
		d := drawing{Title: "Where the time goes", Scenario: scenario, Caption: describeHops(by[scenario]), Plot: plotHops("w"+itoa(i), scenario, by[scenario]), Folded: i > 0}
		for _, h := range by[scenario] {
			if h.Note != "" {
				d.Notes = append(d.Notes, h.Name+": "+h.Note)
			}
		}
		out = append(out, d)
	}
	return out
}

func groupIntegrity(rows []reports.Integrity) integrityView {
	v := integrityView{Fold: len(rows) > maxOpenDevices}
	index := map[string]int{}
	for _, row := range rows {
		i, known := index[row.Scenario]
		if !known {
			i = len(v.Groups)
			index[row.Scenario] = i
			v.Groups = append(v.Groups, integrityGroup{Scenario: row.Scenario})
		}
		v.Groups[i].Rows = append(v.Groups[i].Rows, row)
		v.Groups[i].Total = addIntegrity(v.Groups[i].Total, row)
	}
	return v
}

func addIntegrity(a, b reports.Integrity) reports.Integrity {
	a.Sent += b.Sent
	a.Acked += b.Acked
	a.Blocked += b.Blocked
	a.Witnessed += b.Witnessed
	a.Expected += b.Expected
	a.Delivered += b.Delivered
	a.Lost += b.Lost
	a.Duplicated += b.Duplicated
	a.Reordered += b.Reordered
	a.Corrupted += b.Corrupted
	a.Phantom += b.Phantom
	return a
}

// Trouble is the sum of everything that must not happen.
func (g integrityGroup) Trouble() int64 {
	t := g.Total
	return t.Lost + t.Duplicated + t.Reordered + t.Corrupted + t.Phantom
}

// FaultList joins the seeded faults for print.
func (r requirementView) FaultList() string { return strings.Join(r.Requirement.Faults, ", ") }

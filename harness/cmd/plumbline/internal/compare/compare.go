// Package compare says of two versions of one system, from stored runs of both,
// whether the new one is worse than the old (metrology 2.5: the run is the unit).
//
// It reads what the runs say of themselves, in summary.json and config/run.json,
// and writes nothing; whether to believe that is for verify and recompute.
package compare

import (
	"fmt"
	"math"
	"slices"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// Outcome is what the comparison says of one requirement.
type Outcome string

// The outcomes. Undecided is what no statement can be made about.
const (
	Regression  Outcome = "regression"
	Improvement Outcome = "improvement"
	None        Outcome = "none"
	Undecided   Outcome = "undecided"
)

// Comparison is two versions side by side.
type Comparison struct {
	Profile  string   `json:"profile"`
	System   string   `json:"system"`
	Old      Version  `json:"old"`
	New      Version  `json:"new"`
	Order    string   `json:"order"`    // in which the runs were made, A the old and B the new version: ABBAABBA
	Missing  Missing  `json:"missing"`  // runs that would decide what is undecided for want of them
	Warnings []string `json:"warnings"` // what makes the outcome worth less
	Lines    []Line   `json:"lines"`
	Outcome  Outcome  `json:"outcome"` // over all requirements that are not informative
}

// Missing counts the runs of each version that a comparison lacks.
type Missing struct {
	Old int `json:"old"`
	New int `json:"new"`
}

// Version is one side: the runs that were made of it.
type Version struct {
	Version     string   `json:"version"`
	Directories []string `json:"directories"`
}

// Line is one requirement, or one figure of it.
type Line struct {
	Requirement string          `json:"requirement"`
	Title       string          `json:"title"`
	Informative bool            `json:"informative,omitempty"` // decides nothing
	Old         reports.Verdict `json:"old"`                   // the worst of all runs; NOT RUN when a run lacks it
	New         reports.Verdict `json:"new"`
	Outcome     Outcome         `json:"outcome"`
	Why         string          `json:"why"`
	Figure      *Figure         `json:"figure,omitempty"` // nil for what is compared by its verdict alone
}

// Figure is a quantile of a latency in every run of both sides. Smaller is better.
// A run directory has one, over all that was measured in it: what is measured
// within minutes on one machine hangs together, and is no run of its own.
type Figure struct {
	Scenario    string          `json:"scenario"`
	Quantile    float64         `json:"quantile"`
	Unit        string          `json:"unit"`
	Old         []reports.Float `json:"old"` // one per run
	New         []reports.Float `json:"new"`
	OldMedian   reports.Float   `json:"old_median"`
	NewMedian   reports.Float   `json:"new_median"`
	Change      reports.Float   `json:"change"` // by which share the new is above the old: Hodges–Lehmann
	Low         reports.Float   `json:"low"`    // 95 % bootstrap interval of it
	High        reports.Float   `json:"high"`
	P           float64         `json:"p"`           // two-sided, Mann–Whitney
	Uncertainty float64         `json:"uncertainty"` // U of a figure, in Unit
	Needed      int             `json:"needed"`      // runs of each side that decide; 0 when the verdicts did
}

// seed of the bootstrap: the same runs give the same interval.
const seed = 1

// Of compares the runs below two paths, each a run directory or a folder of run
// directories. An error that wraps ErrNoRun says that there are none; one that
// wraps ErrNotComparable what differs that must not.
func Of(oldPath, newPath string) (*Comparison, error) {
	return OfEach([]string{oldPath}, []string{newPath})
}

// OfEach is Of for sides that lie in several places.
func OfEach(oldPaths, newPaths []string) (*Comparison, error) {
	before, err := loadAll(oldPaths)
	if err != nil {
		return nil, err
	}
	after, err := loadAll(newPaths)
	if err != nil {
		return nil, err
	}
	if err := fit(before, after); err != nil {
		return nil, err
	}
	first := before[0]
	c := &Comparison{
		Profile: first.Profile.Name + " " + first.Profile.Version, System: first.SUT.Name,
		Old: version(before), New: version(after), Order: order(before, after), Warnings: warnings(before, after),
	}
	for _, req := range requirements(before, after) {
		c.Lines = append(c.Lines, lines(req, before, after)...)
	}
	for _, l := range c.Lines {
		if f := l.Figure; f != nil && l.Outcome == Undecided {
			c.Missing.Old = max(c.Missing.Old, f.Needed-len(f.Old))
			c.Missing.New = max(c.Missing.New, f.Needed-len(f.New))
		}
	}
	c.Outcome = overall(c.Lines)
	return c, nil
}

// overall is the worst of all lines that decide; of none at all it is undecided.
func overall(all []Line) Outcome {
	seen := map[Outcome]bool{}
	for _, l := range all {
		seen[l.Outcome] = seen[l.Outcome] || !l.Informative
	}
	for _, o := range []Outcome{Regression, Undecided, Improvement, None} {
		if seen[o] {
			return o
		}
	}
	return Undecided
}

// requirements returns those of all runs, in the order of the catalogue.
func requirements(before, after []run) (all []reports.Requirement) {
	seen := map[string]bool{}
	for _, r := range append(slices.Clone(before), after...) {
		for _, req := range r.Requirements {
			if !seen[req.ID] {
				seen[req.ID] = true
				all = append(all, req)
			}
		}
	}
	return all
}

// lines compares one requirement: by its verdicts, and by each figure it has.
func lines(req reports.Requirement, before, after []run) []Line {
	line := Line{Requirement: req.ID, Title: req.Title, Informative: req.Class == reports.Optional}
	was, is := judged(req.ID, before), judged(req.ID, after)
	line.Old, line.New = reports.Worst(was...), reports.Worst(is...)
	line.Outcome, line.Why = byVerdict(was, is)
	if another(req, before, after) {
		line.Outcome, line.Why = Undecided, "the runs were judged by another requirement of this id"
		return []Line{line}
	}
	var out []Line
	for _, f := range figures(req.ID, before, after) {
		with := line
		with.Figure = &f.Figure
		outcome, why := f.weigh()
		// What was demonstrated stands, and what was not tried in all runs is left open.
		if line.Outcome != Regression && line.Outcome != Improvement && decided(was) && decided(is) {
			with.Outcome, with.Why = outcome, why
		}
		out = append(out, with)
	}
	if len(out) == 0 {
		return []Line{line}
	}
	return out
}

// judged returns the verdict of each run on a requirement.
func judged(id string, runs []run) (all []reports.Verdict) {
	for _, r := range runs {
		v := reports.NotRun
		for _, j := range r.Judgements() {
			if j.Requirement.ID == id {
				v = j.Verdict
			}
		}
		all = append(all, v)
	}
	return all
}

// decided reports whether every run says something about the requirement.
func decided(all []reports.Verdict) bool {
	return !slices.Contains(all, reports.NotRun) && !slices.Contains(all, reports.NotApplicable) && !slices.Contains(all, reports.Error)
}

// another reports whether the runs mean different things by one id.
func another(req reports.Requirement, before, after []run) bool {
	for _, r := range append(slices.Clone(before), after...) {
		for _, other := range r.Requirements {
			if other.ID == req.ID && (other.Text != req.Text || other.Measurand != req.Measurand || other.Rule != req.Rule || other.Quantile != req.Quantile) {
				return true
			}
		}
	}
	return false
}

// byVerdict compares what was demonstrated. A FAIL where there was nothing but PASS
// is a regression, and nothing but PASS where there was nothing but FAIL an
// improvement; what fails in some runs may do so more or less often than before.
func byVerdict(was, is []reports.Verdict) (Outcome, string) {
	only := func(all []reports.Verdict, v reports.Verdict) bool {
		return !slices.ContainsFunc(all, func(other reports.Verdict) bool { return other != v })
	}
	fails := func(all []reports.Verdict) bool { return slices.Contains(all, reports.Fail) }
	switch {
	case only(was, reports.NotApplicable) && only(is, reports.NotApplicable):
		return None, "applies to neither"
	case !decided(was) || !decided(is):
		return Undecided, fmt.Sprintf("not judged by all runs: %s, then %s", reports.Worst(was...), reports.Worst(is...))
	case only(was, reports.Pass) && fails(is):
		return Regression, "passed, and fails"
	case only(was, reports.Fail) && only(is, reports.Pass):
		return Improvement, "failed, and passes"
	case only(was, reports.Pass) && only(is, reports.Pass):
		return None, "passes as before"
	case only(was, reports.Fail) && only(is, reports.Fail):
		return None, "fails as before"
	case fails(was):
		return Undecided, fmt.Sprintf("fails in %d of %d runs, then in %d of %d", count(was, reports.Fail), len(was), count(is, reports.Fail), len(is))
	default:
		return Undecided, fmt.Sprintf("%s, then %s", reports.Worst(was...), reports.Worst(is...))
	}
}

func count(all []reports.Verdict, v reports.Verdict) (n int) {
	for _, other := range all {
		if other == v {
			n++
		}
	}
	return n
}

// figure is a Figure with what was left out of it.
type figure struct {
	Figure
	voided int // runs in which a validity gate voided it
}

// figures gathers each quantile of a latency that the runs have of a requirement,
// by scenario. What a validity gate voided is no figure of the system.
func figures(id string, before, after []run) (all []*figure) {
	at := func(res *reports.Result) *figure {
		for _, f := range all {
			if f.Scenario == res.Scenario {
				return f
			}
		}
		m := res.Measurement
		all = append(all, &figure{Figure: Figure{Scenario: res.Scenario, Quantile: m.Quantile, Unit: m.Unit, Old: []reports.Float{}, New: []reports.Float{}}})
		return all[len(all)-1]
	}
	gather := func(runs []run, into func(*figure) *[]reports.Float) {
		for _, r := range runs {
			for _, res := range quantiles(r, id) {
				f := at(res)
				f.Uncertainty = max(f.Uncertainty, res.Measurement.Guard)
				if res.Reason.Voids() {
					f.voided++
				} else {
					side := into(f)
					*side = append(*side, res.Measurement.Estimate)
				}
			}
		}
	}
	gather(before, func(f *figure) *[]reports.Float { return &f.Old })
	gather(after, func(f *figure) *[]reports.Float { return &f.New })
	return all
}

// quantiles returns what a run measured of a requirement, once for each scenario:
// the last attempt that established a figure.
func quantiles(r run, id string) (out []*reports.Result) {
	for _, j := range r.Judgements() {
		if j.Requirement.ID != id {
			continue
		}
		for _, res := range j.Standing {
			m := res.Measurement
			if m == nil || m.Quantile == 0 || math.IsNaN(float64(m.Estimate)) {
				continue
			}
			same := func(other *reports.Result) bool { return other.Scenario == res.Scenario }
			if i := slices.IndexFunc(out, same); i >= 0 {
				out[i] = res
			} else {
				out = append(out, res)
			}
		}
	}
	return out
}

// weigh compares the figures and fills in what the comparison gives.
func (f *figure) weigh() (Outcome, string) {
	was, is := plain(f.Old), plain(f.New)
	c := stats.Compare(was, is, f.Uncertainty, seed)
	f.Change, f.Low, f.High, f.P = reports.Float(c.Ratio-1), reports.Float(c.Low-1), reports.Float(c.High-1), c.P
	f.OldMedian, f.NewMedian, f.Needed = median(was), median(is), c.Needed
	switch {
	case !c.Enough:
		why := fmt.Sprintf("%d and %d runs; %d of each are needed: %s", len(was), len(is), stats.CompareRuns, lack(c.Needed, was, is))
		if f.voided > 0 {
			why += fmt.Sprintf(" (%d more were voided by a validity gate)", f.voided)
		}
		return Undecided, why
	case c.Regression:
		return Regression, "slower"
	case c.Changed:
		return Improvement, "faster"
	case c.Blind && c.Needed >= stats.CompareMost:
		return Undecided, fmt.Sprintf("the runs differ so much among themselves that %d of each would not show %.0f %%: compare on a quieter machine", c.Needed, 100*stats.CompareDetect)
	case c.Blind:
		return Undecided, fmt.Sprintf("no difference shown, and %.0f %% more not excluded: the runs differ among themselves so much that %d of each are needed: %s",
			100*stats.CompareDetect, c.Needed, lack(c.Needed, was, is))
	case c.P < c.Alpha:
		return None, "a difference, but too small to count: less than " + f.least(c.Ratio)
	default:
		return None, "no difference shown"
	}
}

// least says what a change by a ratio falls short of.
func (f *figure) least(ratio float64) string {
	if math.Abs(ratio-1) < stats.CompareShare {
		return fmt.Sprintf("%.0f %%", 100*stats.CompareShare)
	}
	return fmt.Sprintf("the uncertainty of %g %s", f.Uncertainty, f.Unit)
}

// lack says how many runs are missing.
func lack(needed int, was, is []float64) string {
	return fmt.Sprintf("%d old and %d new are missing", max(needed-len(was), 0), max(needed-len(is), 0))
}

func plain(values []reports.Float) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

func median(values []float64) reports.Float {
	return reports.Float(stats.Quantile(slices.Sorted(slices.Values(values)), 0.5))
}

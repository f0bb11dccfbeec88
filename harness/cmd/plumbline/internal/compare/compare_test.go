package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/render"
)

// The catalogue of the stored runs: a quantile, a count and something informative.
var catalogue = []reports.Requirement{
	{ID: "LAT-02", Title: "p99", Text: "It shall be fast.", Class: reports.Mandatory, Rule: "DR-2", Quantile: 0.99},
	{ID: "DEL-01", Title: "no loss", Text: "It shall lose nothing.", Class: reports.Mandatory, Rule: "deterministic"},
	{ID: "PRO-01", Title: "standard", Text: "It shall keep the standard.", Class: reports.Optional, Rule: "deterministic"},
}

// bench stores runs.
type bench struct {
	t    *testing.T
	root string
	made int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{t: t, root: t.TempDir()}
}

// inside are the figures of the parts of one run, which hang together.
func inside(ms float64) []reports.Float {
	return []reports.Float{reports.Float(ms * 0.999), reports.Float(ms), reports.Float(ms * 1.001)}
}

// store writes one run of a version, whose p99 is ms, into a folder of that name, an
// hour after the one before; change may make it another.
func (b *bench) store(version string, ms float64, change func(*reports.Run, *spec.Conditions)) string {
	b.t.Helper()
	b.made++
	started := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(b.made) * time.Hour)
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: fmt.Sprintf("run%04d", b.made), Started: started, Finished: started.Add(time.Minute),
		Profile: reports.Profile{Name: "ci", Version: "1.0", Digest: strings.Repeat("a", 64)}, Tool: reports.Tool{Name: "plumbline", Version: "1"},
		SUT:          reports.SUT{Name: "bridged", Version: version, Artifacts: []reports.Evidence{{Path: "bridged.yaml", SHA256: fmt.Sprint(b.made)}}},
		Environment:  map[string]string{"cpu": "a", "load_1min_at_end": fmt.Sprint(b.made)},
		Devices:      []reports.Device{{ID: "d", Kind: "gps", Mode: reports.ModeSim}},
		Requirements: slices.Clone(catalogue),
	}
	for _, req := range catalogue {
		res := reports.Result{Requirement: req.ID, Scenario: "steady", Verdict: reports.Pass, Sentence: "So it is.", Started: started, Attempt: 1}
		if req.Quantile > 0 {
			res.Measurement = &reports.Measurement{Unit: "ms", Quantile: req.Quantile, N: 1000, Estimate: reports.Float(ms), Guard: 0.1, Runs: inside(ms)}
		}
		run.Results = append(run.Results, res)
	}
	conditions := &spec.Conditions{Format: "plumbline.run/v1", Rule: "DR-2", Loads: map[string]profile.Load{"steady": {Runs: 3, Rate: 1000}}}
	if change != nil {
		change(run, conditions)
	}
	run.Overall = run.Judge()
	dir := filepath.Join(b.root, version, run.ID)
	text, err := json.Marshal(conditions)
	var summary bytes.Buffer
	if err := errors.Join(err, render.JSON(&summary, run), os.MkdirAll(filepath.Join(dir, "config"), 0o750),
		os.WriteFile(filepath.Join(dir, "config", "run.json"), text, 0o600),
		os.WriteFile(filepath.Join(dir, render.SummaryFile), summary.Bytes(), 0o600)); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// abba stores n runs of each of two versions, in turn; spread is by how much the
// figures of one version differ at most.
func (b *bench) abba(n int, before, after, spread float64, change func(version string, r *reports.Run)) *Comparison {
	b.t.Helper()
	for i := range 2 * n {
		version, ms := "v1", before
		if i%4 == 1 || i%4 == 2 {
			version, ms = "v2", after
		}
		b.store(version, ms*(1+spread*float64((i*7)%(2*n))/float64(2*n)), func(r *reports.Run, _ *spec.Conditions) {
			if change != nil {
				change(version, r)
			}
		})
	}
	c, err := Of(filepath.Join(b.root, "v1"), filepath.Join(b.root, "v2"))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// versions stores and compares ten runs of each version, which hardly differ.
func (b *bench) versions(before, after float64, change func(version string, r *reports.Run)) *Comparison {
	b.t.Helper()
	return b.abba(10, before, after, 0.01, change)
}

func lineOf(t *testing.T, c *Comparison, id string) Line {
	t.Helper()
	for _, l := range c.Lines {
		if l.Requirement == id {
			return l
		}
	}
	t.Fatalf("no line for %s in %+v", id, c.Lines)
	return Line{}
}

// TestLatencyIsComparedRunByRun: a p99 that is a fifth larger is a regression,
// one that is a fifth smaller an improvement, and what is within chance, within
// 5 % or within the uncertainty is neither.
func TestLatencyIsComparedRunByRun(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after float64
		want          Outcome
		why           string
	}{
		{"slower", 10, 12, Regression, "slower"},
		{"faster", 12, 10, Improvement, "faster"},
		{"the same", 10, 10, None, "no difference"},
		{"slower by 3 %", 10, 10.3, None, "too small to count: less than 5 %"},
		{"slower by less than U", 0.4, 0.48, None, "too small to count: less than the uncertainty of 0.1 ms"},
		{"never arrives any more", 10, math.Inf(1), Regression, "slower"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newBench(t).versions(c.before, c.after, nil)
			l := lineOf(t, got, "LAT-02")
			if l.Outcome != c.want || got.Outcome != c.want || !strings.Contains(l.Why, c.why) {
				t.Errorf("%s (%s), overall %s; want %s", l.Outcome, l.Why, got.Outcome, c.want)
			}
			if l.Figure == nil || len(l.Figure.Old) != 10 || len(l.Figure.New) != 10 || len(got.Warnings) != 0 || got.Order != strings.Repeat("ABBA", 5) || got.Missing != (Missing{}) {
				t.Errorf("figure %+v, warnings %q", l.Figure, got.Warnings)
			}
			if f := l.Figure; c.name == "slower" && (math.Abs(float64(f.Change)-0.2) > 0.01 || f.Low > f.Change || f.High < f.Change || f.P > 0.01) {
				t.Errorf("the change is %v in [%v, %v], p %v", f.Change, f.Low, f.High, f.P)
			}
		})
	}
}

func TestFewRunsDecideNothing(t *testing.T) {
	b := newBench(t)
	c, err := Of(b.store("v1", 10, nil), b.store("v2", 20, nil))
	if err != nil {
		t.Fatal(err)
	}
	if l := lineOf(t, c, "LAT-02"); l.Outcome != Undecided || c.Outcome != Undecided || !strings.Contains(l.Why, "1 and 1 runs; 10 of each are needed: 9 old and 9 new are missing") || c.Missing != (Missing{9, 9}) {
		t.Errorf("%s: %s, overall %s", l.Outcome, l.Why, c.Outcome)
	}
	if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, "not made in turn (old A, new B: AB)") }) {
		t.Errorf("warnings are %q", c.Warnings)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
}

// TestVoidedRunsAreNoFigures: what a validity gate voided says nothing about the system.
func TestVoidedRunsAreNoFigures(t *testing.T) {
	c := newBench(t).versions(10, 12, func(version string, r *reports.Run) {
		if version == "v2" {
			r.Results[0].Verdict, r.Results[0].Reason = reports.Inconclusive, reports.ReasonRig
		}
	})
	if l := lineOf(t, c, "LAT-02"); l.Outcome != Undecided || len(l.Figure.New) != 0 || !strings.Contains(l.Why, "10 more were voided") {
		t.Errorf("%s: %s, %d figures", l.Outcome, l.Why, len(l.Figure.New))
	}
}

func TestVerdictsAreCompared(t *testing.T) {
	for _, c := range []struct {
		name     string
		was, is  reports.Verdict
		want     Outcome
		decisive bool
	}{
		{"fails now", reports.Pass, reports.Fail, Regression, true},
		{"passes now", reports.Fail, reports.Pass, Improvement, true},
		{"failed all along", reports.Fail, reports.Fail, None, true},
		{"never passed", reports.ConditionalPass, reports.Fail, Undecided, true},
		{"open now", reports.Pass, reports.Inconclusive, Undecided, true},
		{"the harness failed", reports.Pass, reports.Error, Undecided, true},
		{"not claimed any more", reports.Pass, reports.NotApplicable, Undecided, true},
		{"applies to neither", reports.NotApplicable, reports.NotApplicable, None, true},
		{"informative", reports.Pass, reports.Fail, Regression, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, id := 1, "DEL-01"
			if !c.decisive {
				at, id = 2, "PRO-01"
			}
			got := newBench(t).versions(10, 10, func(version string, r *reports.Run) {
				r.Results[at].Verdict = map[string]reports.Verdict{"v1": c.was, "v2": c.is}[version]
				if r.Results[at].Verdict == reports.Inconclusive {
					r.Results[at].Reason = reports.ReasonSamples
				}
			})
			l := lineOf(t, got, id)
			if l.Outcome != c.want || l.Old != c.was || l.New != c.is || l.Figure != nil {
				t.Errorf("%+v, want %s", l, c.want)
			}
			if want := c.want; c.decisive && got.Outcome != want || !c.decisive && got.Outcome != None {
				t.Errorf("overall %s", got.Outcome)
			}
		})
	}
}

// TestSomeFailuresAreNoAnswer: what fails in one run of ten may fail in all of the
// new ones, or in none by luck.
func TestSomeFailuresAreNoAnswer(t *testing.T) {
	for name, failing := range map[string]map[string][]int{
		"more often":      {"v1": {0}, "v2": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"less often":      {"v1": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "v2": {0}},
		"not this time":   {"v1": {0}},
		"as before, some": {"v1": {0}, "v2": {0}},
	} {
		seen := map[string]int{}
		c := newBench(t).versions(10, 10, func(version string, r *reports.Run) {
			if slices.Contains(failing[version], seen[version]) {
				r.Results[1].Verdict = reports.Fail
			}
			seen[version]++
		})
		if l := lineOf(t, c, "DEL-01"); l.Outcome != Undecided || c.Outcome != Undecided || !strings.Contains(l.Why, "of 10 runs") {
			t.Errorf("%s: %s, %s", name, l.Outcome, l.Why)
		}
	}
}

// TestTheRunIsTheUnit: what is measured several times within one run hangs together
// by what the machine was like in those minutes. Four runs of three parts each are
// four runs: taken for twelve, they showed regressions of a bridge against itself.
func TestTheRunIsTheUnit(t *testing.T) {
	c := newBench(t).abba(4, 10, 12, 0.01, nil)
	if l := lineOf(t, c, "LAT-02"); l.Outcome != Undecided || len(l.Figure.Old) != 4 || len(l.Figure.New) != 4 || !strings.Contains(l.Why, "6 old and 6 new are missing") {
		t.Errorf("4 runs of each: %s (%s) by %d and %d figures", l.Outcome, l.Why, len(l.Figure.Old), len(l.Figure.New))
	}
}

// TestRunsThatDifferAmongThemselves: no difference shown is not the same as none, and
// how many runs would show one is said.
func TestRunsThatDifferAmongThemselves(t *testing.T) {
	c := newBench(t).abba(10, 10, 10, 0.6, nil)
	l := lineOf(t, c, "LAT-02")
	if l.Outcome != Undecided || !strings.Contains(l.Why, "20 % more not excluded") || l.Figure.Needed <= 10 || c.Missing != (Missing{l.Figure.Needed - 10, l.Figure.Needed - 10}) {
		t.Errorf("%s: %s, needed %d, missing %+v", l.Outcome, l.Why, l.Figure.Needed, c.Missing)
	}
}

// TestOneFigureOfARun: of the attempts of a scenario the last that stands counts.
func TestOneFigureOfARun(t *testing.T) {
	c := newBench(t).versions(10, 12, func(_ string, r *reports.Run) {
		again := r.Results[0]
		m := *again.Measurement
		m.Estimate *= 10
		again.Attempt, again.Measurement = 2, &m
		r.Results = append(r.Results, again)
	})
	if f := lineOf(t, c, "LAT-02").Figure; len(f.Old) != 10 || len(f.New) != 10 || f.OldMedian < 100 {
		t.Errorf("%d and %d figures, median %v", len(f.Old), len(f.New), f.OldMedian)
	}
}

// TestTurns: a drift of the machine bears on both versions alike only when they take turns.
func TestTurns(t *testing.T) {
	for made, want := range map[string]bool{
		"ABBA": true, "ABBAABBA": true, "ABAB": true, "BAAB": true, "ABA": true,
		"AB": false, "AABB": false, "ABBBBBBBBBAAAAAAAA": false, "AAAAAAAAABBBBBBBBBA": false,
	} {
		if interleaved(made) != want {
			t.Errorf("%s in turn: %v", made, !want)
		}
	}
}

// TestADemonstratedFailStands: a quantile that fails its limit is a regression also
// when there are too few runs to compare it.
func TestADemonstratedFailStands(t *testing.T) {
	b := newBench(t)
	c, err := Of(b.store("v1", 10, nil), b.store("v2", 20, func(r *reports.Run, _ *spec.Conditions) {
		r.Results[0].Verdict = reports.Fail
	}))
	if err != nil {
		t.Fatal(err)
	}
	if l := lineOf(t, c, "LAT-02"); l.Outcome != Regression || c.Outcome != Regression || l.Figure == nil {
		t.Errorf("%+v, overall %s", l, c.Outcome)
	}
}

func TestRequirementsOfOneSideOnly(t *testing.T) {
	c := newBench(t).versions(10, 10, func(version string, r *reports.Run) {
		if version == "v2" {
			r.Requirements, r.Results = r.Requirements[:1], r.Results[:1]
			return
		}
		r.Requirements[0].Text = "It shall be very fast."
	})
	if l := lineOf(t, c, "DEL-01"); l.Outcome != Undecided || l.New != reports.NotRun {
		t.Errorf("a requirement that one side lacks: %+v", l)
	}
	if l := lineOf(t, c, "LAT-02"); l.Outcome != Undecided || !strings.Contains(l.Why, "another requirement") {
		t.Errorf("another requirement of the same id: %+v", l)
	}
}

func TestWhatDiffersBesideTheVersionIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*reports.Run, *spec.Conditions)
		says   string
	}{
		"profile":  {func(r *reports.Run, _ *spec.Conditions) { r.Profile.Digest = strings.Repeat("b", 64) }, "the profile: ci 1.0 (SHA-256 aaaaaaaaaaaa)"},
		"system":   {func(r *reports.Run, _ *spec.Conditions) { r.SUT.Name = "node" }, "the system under test: bridged against node"},
		"schedule": {func(_ *reports.Run, c *spec.Conditions) { c.Loads["steady"] = profile.Load{Runs: 3, Rate: 50} }, `the schedule, load "steady"`},
		"rule":     {func(_ *reports.Run, c *spec.Conditions) { c.Rule = "DR-3" }, "the decision rule: DR-2 against DR-3"},
		"devices":  {func(r *reports.Run, _ *spec.Conditions) { r.Devices[0].Mode = reports.ModeReal }, "the devices: 1 sim gps against 1 real gps"},
		"tier": {func(r *reports.Run, _ *spec.Conditions) { r.Devices[0].Tier, r.Devices[0].Time = 2, "live" },
			"compared within one: none of the virtual bench against tier 2, live: d"},
		"partial": {func(r *reports.Run, _ *spec.Conditions) { r.Partial = "interrupted" }, "partial: interrupted"},
	} {
		b := newBench(t)
		if _, err := Of(b.store("v1", 10, nil), b.store("v2", 10, c.change)); !errors.Is(err, ErrNotComparable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	b := newBench(t)
	at := func(time string) func(*reports.Run, *spec.Conditions) {
		return func(r *reports.Run, _ *spec.Conditions) { r.Devices[0].Tier, r.Devices[0].Time = 2, time }
	}
	if _, err := Of(b.store("v1", 10, at("live")), b.store("v2", 10, at("fast-forward"))); !errors.Is(err, ErrNotComparable) ||
		!strings.Contains(err.Error(), "tier 2, live: d against tier 2, fast-forward: d") {
		t.Errorf("two times: %v", err)
	}
	b = newBench(t)
	one := b.store("v1", 10, nil)
	if _, err := Of(one, one); !errors.Is(err, ErrNotComparable) || !strings.Contains(err.Error(), "the same run") {
		t.Errorf("a run with itself: %v", err)
	}
	b.store("v1", 10, func(r *reports.Run, _ *spec.Conditions) { r.SUT.Version = "v1.1" })
	if _, err := Of(filepath.Join(b.root, "v1"), b.store("v2", 10, nil)); !errors.Is(err, ErrNotComparable) || !strings.Contains(err.Error(), "v1.1") {
		t.Errorf("two versions on one side: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	b := newBench(t)
	b.store("v1", 10, nil)
	after := b.store("v2", 10, func(r *reports.Run, _ *spec.Conditions) {
		r.SUT.Version, r.Tool.Version, r.Environment["cpu"], r.SUT.Capabilities = "v1", "2", "b", []string{"resume"}
	})
	c, err := Of(filepath.Join(b.root, "v1"), after)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the same program", "not made in turn", `cpu "a" against "b"`, "different builds", "different capabilities: ; then resume"} {
		if !strings.Contains(strings.Join(c.Warnings, "\n"), want) {
			t.Errorf("no warning %q in %q", want, c.Warnings)
		}
	}
	if len(c.Warnings) != 5 {
		t.Errorf("%d warnings: %q", len(c.Warnings), c.Warnings)
	}
}

func TestWhatIsNoRunIsSaid(t *testing.T) {
	b := newBench(t)
	good := b.store("v1", 10, nil)
	bare := b.store("v2", 10, nil)
	if err := os.RemoveAll(filepath.Join(bare, "config")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(b.root, "missing"), t.TempDir(), bare, filepath.Join(good, "summary.json")} {
		if _, err := Of(good, path); !errors.Is(err, ErrNoRun) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

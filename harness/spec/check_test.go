package spec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/calibrate"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// withCatalogue puts requirements and loads in the place of the registered ones.
func withCatalogue(t *testing.T, ids ...string) {
	t.Helper()
	was := registry
	t.Cleanup(func() { registry = was })
	registry.known, registry.loads = nil, map[string][]string{"none": nil}
	for _, id := range ids {
		registry.known = append(registry.known, profile.Known{Requirement: reports.Requirement{ID: id, Class: reports.Mandatory}})
	}
}

func testRig(t *testing.T, p *profile.Profile) *harness.Rig {
	t.Helper()
	rig, err := harness.NewRig(harness.Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	return rig
}

func TestCheckRefusesACatalogueThatDoesNotHold(t *testing.T) {
	withCatalogue(t, "LAT-01", "DEL-01")
	drive, judge := func(context.Context, *Trial) {}, func(*Case) {}
	good := func() []Scenario {
		return []Scenario{
			{ID: "first", Tier: TierCore, Requirements: []string{"LAT-01"}, Loads: []string{"none"}, Labels: []string{"slow"}, Drive: drive, Judge: judge},
			{ID: "second", Tier: TierCore, Requirements: []string{"DEL-01"}, Drive: drive, Judge: judge},
		}
	}
	if err := check(good()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func([]Scenario){
		`scenario id "" is empty`:                func(s []Scenario) { s[0].ID = "" },
		`scenario id "First Aid" is empty`:       func(s []Scenario) { s[0].ID = "First Aid" },
		`scenario id "first" is empty`:           func(s []Scenario) { s[1].ID = "first" },
		`scenario id "first-2" is empty`:         func(s []Scenario) { s[0].ID = "first-2" },
		`"first" lacks its Drive`:                func(s []Scenario) { s[0].Drive = nil },
		`"second" lacks its Drive or its Judge`:  func(s []Scenario) { s[1].Judge = nil },
		`"second" judges nothing`:                func(s []Scenario) { s[1].Requirements = nil },
		`"first" judges "LAT-99"`:                func(s []Scenario) { s[0].Requirements = append(s[0].Requirements, "LAT-99") },
		`"first" uses load "much"`:               func(s []Scenario) { s[0].Loads = []string{"much"} },
		`no scenario judges requirement "DEL-0`:  func(s []Scenario) { s[1].Requirements = []string{"LAT-01"} },
		`"first" has the label "second"`:         func(s []Scenario) { s[0].Labels = []string{"second"} },
		`"first" has the label "slow && steady"`: func(s []Scenario) { s[0].Labels = []string{"slow && steady"} },
	} {
		all := good()
		spoil(all)
		if err := check(all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, the error is %v", want, err)
		}
	}
	withCatalogue(t, "LAT-01", "DEL-01", "LAT-01")
	if err := check(good()); err == nil || !strings.Contains(err.Error(), `"LAT-01" is registered twice`) {
		t.Errorf("a requirement registered twice gives %v", err)
	}
}

// What is left open is put down to the first thing that went wrong, and is
// never a pass.
func TestWhatIsLeftOpenNamesItsReason(t *testing.T) {
	for _, c := range []struct {
		name      string
		how       ending
		verdict   reports.Verdict
		reason    reports.Reason
		statement string
	}{
		{"forgotten", ending{Whole: true}, reports.Error, "", "ended without judging it"},
		{"panic", ending{Panic: "nil map"}, reports.Error, "", "panic: nil map"},
		{"failure", ending{Failure: "1 is not 2", Panic: "what Ginkgo throws"}, reports.Error, "", "1 is not 2"},
		{"time limit", ending{Overtime: true, Failure: "context deadline exceeded"}, reports.Inconclusive, reports.ReasonBudget, "time limit of the scenario was over after 3s"},
		{"no bench", ending{NoBench: "no port", Overtime: true, Failure: "x"}, reports.Inconclusive, reports.ReasonRig, "no port"},
		{"no system", ending{Unavailable: "it died", NoBench: "y", Failure: "x"}, reports.Inconclusive, reports.ReasonSUT, "it died"},
		{"interrupt", ending{Interrupted: true, Unavailable: "it died", Failure: "x", Panic: "y"}, reports.Inconclusive, reports.ReasonInterrupted, "interrupted"},
		{"not begun", ending{NotBegun: true, Failure: "x"}, reports.Inconclusive, reports.ReasonInterrupted, "ended before this scenario"},
	} {
		verdict, reason, why := c.how.open(3 * time.Second)
		if verdict != c.verdict || reason != c.reason || !strings.Contains(why, c.statement) {
			t.Errorf("%s: %s(%s): %s", c.name, verdict, reason, why)
		}
	}
}

// The first cause stands, and a full disk is the bench's.
func TestTheFirstCauseStands(t *testing.T) {
	gone, noBench := fmt.Errorf("it died: %w", sut.ErrUnavailable), fmt.Errorf("no port: %w", harness.ErrBench)
	full := &fs.PathError{Op: "write", Path: "/run/records/x", Err: syscall.ENOSPC}
	for _, c := range []struct {
		name string
		errs []error
		want ending
	}{
		{"system, then bench", []error{gone, noBench}, ending{Failure: gone.Error(), Unavailable: gone.Error()}},
		{"bench, then system", []error{noBench, gone}, ending{Failure: noBench.Error(), NoBench: noBench.Error()}},
		{"anything, then system", []error{errors.New("x"), gone}, ending{Failure: "x", Unavailable: gone.Error()}},
		{"full disk", []error{full}, ending{Failure: full.Error(), NoBench: harness.ErrSpace.Error() + " (" + full.Error() + ")", NoSpace: true}},
	} {
		var how ending
		for _, err := range c.errs {
			how.note(err, "/run")
		}
		if how != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, how, c.want)
		}
	}
}

// testCourt judges by a profile without limits and keeps nothing.
func testCourt(t *testing.T) *court {
	t.Helper()
	p := &profile.Profile{Name: "p", Certifies: true}
	return &court{profile: p, conditions: conditionsOf(testRig(t, p), "")}
}

// A scenario that attached nothing has results all the same, one for every
// requirement, and none that passes.
func TestAScenarioWithoutOutcomeHasResults(t *testing.T) {
	sc := Scenario{ID: "s", Requirements: []string{"LAT-01", "DEL-01"}}
	for _, c := range []struct {
		report  types.SpecReport
		verdict reports.Verdict
		reason  reports.Reason
		words   string
		partial bool
	}{
		{types.SpecReport{State: types.SpecStateSkipped}, reports.Inconclusive, reports.ReasonInterrupted, "ended before this scenario", true},
		{types.SpecReport{State: types.SpecStateInterrupted}, reports.Inconclusive, reports.ReasonInterrupted, "ended before this scenario", true},
		{types.SpecReport{State: types.SpecStateAborted}, reports.Inconclusive, reports.ReasonInterrupted, "ended before this scenario", true},
		{types.SpecReport{State: types.SpecStateTimedout}, reports.Inconclusive, reports.ReasonBudget, "time limit", false},
		{types.SpecReport{State: types.SpecStatePanicked, Failure: types.Failure{Message: "it fell"}}, reports.Error, "", "it fell", false},
		{types.SpecReport{State: types.SpecStatePassed}, reports.Error, "", "left no outcome (state passed)", false},
		{types.SpecReport{}, reports.Error, "", "left no outcome", false},
	} {
		out := testCourt(t).settle(sc, missing(sc, c.report))
		if len(out.Results) != 2 || out.NotBegun != c.partial {
			t.Fatalf("%s: %+v", c.report.State, out)
		}
		for _, r := range out.Results {
			if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(r.Sentence, c.words) || r.Validate() != nil {
				t.Errorf("%s: %s(%s): %s (%v)", c.report.State, r.Verdict, r.Reason, r.Sentence, r.Validate())
			}
		}
	}
}

// Figures that cannot be written leave an ERROR for every requirement.
func TestUnwritableFiguresAreAnError(t *testing.T) {
	withCatalogue(t, "LAT-01", "DEL-01")
	sc := Scenario{ID: "s", Requirements: []string{"LAT-01", "DEL-01"}, Judge: func(c *Case) {
		c.Judge(reports.Result{Requirement: "LAT-01", Verdict: reports.Pass, Measurement: &reports.Measurement{VIF: math.Inf(1)}})
	}}
	out := testCourt(t).settle(sc, &attempt{Scenario: "s", Ending: ending{Whole: true}})
	if _, err := out.encode(); err != nil || len(out.Results) != 2 {
		t.Fatalf("the outcome is %+v, %v", out, err)
	}
	for _, r := range out.Results {
		if r.Verdict != reports.Error || r.Validate() != nil {
			t.Errorf("%s is %s: %s", r.Requirement, r.Verdict, r.Sentence)
		}
	}
}

// A judge that remembers, or looks at a clock, cannot be recomputed.
func TestAJudgeThatIsNotPureIsFound(t *testing.T) {
	withCatalogue(t, "LAT-01")
	judging := testCourt(t)
	judging.twice = true
	calls := 0
	for name, c := range map[string]struct {
		judge Judge
		want  reports.Verdict
	}{
		"pure": {func(c *Case) { c.Judge(reports.Result{Requirement: "LAT-01", Verdict: reports.Pass}) }, reports.Pass},
		"counting": {func(c *Case) {
			calls++
			c.Judge(reports.Result{Requirement: "LAT-01", Verdict: reports.Pass, Headline: fmt.Sprint(calls)})
		}, reports.Error},
	} {
		out := judging.settle(Scenario{ID: "s", Requirements: []string{"LAT-01"}, Judge: c.judge}, &attempt{Scenario: "s", Ending: ending{Whole: true}})
		if len(out.Results) != 1 || out.Results[0].Verdict != c.want {
			t.Errorf("%s: %+v", name, out.Results)
		}
	}
}

// Only what a gate voided makes room for a repetition, and what lacked samples
// in the same attempt goes with it; a verdict stays.
func TestVoidTakesWhatLackedSamplesAlong(t *testing.T) {
	results := []reports.Result{
		{Verdict: reports.Inconclusive, Reason: reports.ReasonSamples, Sentence: "too little."},
		{Verdict: reports.Fail, Sentence: "lost."},
		{Verdict: reports.Inconclusive, Reason: reports.ReasonBudget},
	}
	if gate := voiding(results); gate != "" {
		t.Errorf("gate %s voids", gate)
	}
	results = append(results, reports.Result{Verdict: reports.Inconclusive, Reason: reports.ReasonRig})
	void(results, voiding(results))
	want := []reports.Reason{reports.ReasonRig, "", reports.ReasonBudget, reports.ReasonRig}
	for i, r := range results {
		if r.Reason != want[i] {
			t.Errorf("result %d is %s(%s)", i, r.Verdict, r.Reason)
		}
	}
	if !strings.Contains(results[0].Sentence, "voided by gate RIG") {
		t.Errorf("the sentence is %q", results[0].Sentence)
	}
}

func TestTimeLimitsFollowTheLoads(t *testing.T) {
	l := profile.Load{Runs: 2, Extend: 1, WarmUp: time.Second, Window: 3 * time.Second, Drain: time.Second, Cycles: 4, Hold: time.Second}
	if got := Length(l); got != 3*5*time.Second+2*4*6*time.Second {
		t.Errorf("the load takes %s", got)
	}
	e := &emitter{rig: testRig(t, &profile.Profile{Name: "p", Loads: map[string]profile.Load{"l": l}})}
	if got := e.timeout(Scenario{Loads: []string{"l"}}); got != 2*time.Minute+2*63*time.Second {
		t.Errorf("the limit is %s", got)
	}
	e.rig.Profile().Limits = map[string]profile.Limit{"REC-04": {Time: 10 * time.Second}}
	if got := e.timeout(Scenario{Loads: []string{"l"}, Requirements: []string{"REC-04"}}); got != 2*time.Minute+2*63*time.Second+8*20*time.Second {
		t.Errorf("with four cycles, and once more, that may take 10 s each the limit is %s", got)
	}
	if got := e.timeout(Scenario{Loads: []string{"l"}, Requirements: []string{"REC-04"}, Faults: 3}); got != 2*time.Minute+2*63*time.Second+8*60*time.Second {
		t.Errorf("with four cycles, and once more, of three faults that may take 10 s each the limit is %s", got)
	}
	if got := e.timeout(Scenario{Loads: []string{"l"}, Timeout: time.Hour}); got != time.Hour {
		t.Errorf("the limit of its own is %s", got)
	}
}

func TestMergedDevicesKeepTheirDamage(t *testing.T) {
	merged := mergeDevices([]reports.Device{{ID: "a", Damaged: 1}}, []reports.Device{{ID: "a", Damaged: 3}, {ID: "b"}, {ID: "a", Damaged: 2}})
	if want := []reports.Device{{ID: "a", Damaged: 3}, {ID: "b"}}; !slices.Equal(merged, want) {
		t.Errorf("merged devices are %+v", merged)
	}
}

// TestLapsesAreRemarks: what a system did wrong on its way out stands beside the
// first result and decides nothing.
func TestLapsesAreRemarks(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, harness.RecordsFolder, "good")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	const left = `{"format":"plumbline.bench/v1","lapses":[{"process":"bridge","detail":"was told to end (SIGTERM) and ended with exit status 66"}]}`
	if err := os.WriteFile(filepath.Join(folder, "bench.json"), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &court{dir: dir, conditions: &Conditions{}}
	results := []reports.Result{{Requirement: "A-1", Verdict: reports.Pass}, {Requirement: "A-2", Verdict: reports.Pass}}
	c.remark(&Case{attempt: &attempt{Benches: []string{"good", "left-nothing", "good"}}}, results)
	want := []reports.Finding{{
		Requirement: "A-1", Kind: "lapse", Subject: "bridge", Evidence: "sut/good/bridge.log",
		Detail: `process "bridge" was told to end (SIGTERM) and ended with exit status 66; its log says more`,
	}}
	if !reflect.DeepEqual(results[0].Findings, want) || results[0].Verdict != reports.Pass || len(results[1].Findings) != 0 {
		t.Errorf("results are %+v", results)
	}
	c.remark(&Case{attempt: &attempt{Benches: []string{"good"}}}, nil)
}

// A lateness that the rig may have added itself is no FAIL; one that stands
// without that is.
func TestALatenessOfTheRigIsNoFail(t *testing.T) {
	c := &Calibration{Before: &calibrate.Record{Levels: []calibrate.Level{{P50: time.Millisecond, P99: 4 * time.Millisecond, P999: 30 * time.Millisecond}}}}
	for name, x := range map[string]struct {
		verdict     reports.Verdict
		lower, bias float64
		quantile    float64
		fits        bool
	}{
		"just above the limit":            {reports.Fail, 103, 1, 0.99, false},
		"above it by more than that":      {reports.Fail, 105, 1, 0.99, true},
		"the run's own floor was as high": {reports.Fail, 103, 4, 0.99, true},
		"a PASS":                          {reports.Pass, 50, 1, 0.99, true},
		"a quantile it cannot show":       {reports.Pass, 50, 1, 0.999, false},
		"never arrived":                   {reports.Fail, math.Inf(1), 1, 0.99, true},
		"no lower bound":                  {reports.ConditionalFail, math.NaN(), 1, 0.99, false},
	} {
		m := &reports.Measurement{Unit: "ms", Limit: 100, Guard: 0.3, Bias: x.bias, Lower: reports.Float(x.lower), Quantile: x.quantile}
		if why := c.unfit(reports.Result{Verdict: x.verdict, Measurement: m}); (why == "") != x.fits {
			t.Errorf("%s: %q", name, why)
		}
	}
}

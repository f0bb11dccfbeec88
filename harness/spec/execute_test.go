package spec_test

import (
	"context"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

func execute(t *testing.T, filter string, change func(*spec.Options)) (*reports.Run, error) {
	t.Helper()
	onceEach(t)
	p, err := engineProfile(true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	interrupt = cancel
	opts := spec.Options{Profile: p, Dir: t.TempDir(), ID: "run-1", LabelFilter: filter, Seed: 7}
	// The declared devices are not used here; recordings named by the environment need not exist.
	opts.Devices = []harness.DeviceSpec{{ID: "host", Kind: harness.KindHost}}
	if change != nil {
		change(&opts)
	}
	return spec.Execute(ctx, opts)
}

// resultOf returns the one result of a requirement.
func resultOf(t *testing.T, run *reports.Run, id string) reports.Result {
	t.Helper()
	var found []reports.Result
	for _, r := range run.Results {
		if r.Requirement == id {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d results", id, len(found))
	}
	return found[0]
}

func TestExecuteKeepsWhatAScenarioSaid(t *testing.T) {
	run, err := execute(t, "good", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := resultOf(t, run, "LAT-01")
	if r.Verdict != reports.Pass || r.Scenario != "good" || r.Attempt != 1 || len(r.Procedure) != 1 || r.Procedure[0] != "look at 3 things" {
		t.Errorf("result is %+v", r)
	}
	if want := "plumbline run --profile engine --seed 7 --label-filter good"; r.Reproduce != want {
		t.Errorf("reproduce is %q, want %q", r.Reproduce, want)
	}
	if run.Rig.Offered != 10 || len(run.Devices) != 1 || run.Devices[0].Damaged != 2 {
		t.Errorf("figures are %+v, %+v", run.Rig, run.Devices)
	}
	left := run.Deselected
	if left == nil || left.Filter != "good" || !slices.Contains(left.Scenarios, "forgets") || slices.Contains(left.Scenarios, "good") ||
		!slices.ContainsFunc(left.Requirements, func(r reports.Requirement) bool { return r.ID == "DEL-01" }) {
		t.Errorf("deselected is %+v", left)
	}
	if run.Certifying || run.Certified() || run.Overall != reports.Pass {
		t.Errorf("a selection that passed is %s, certifying %v", run.Overall, run.Certifying)
	}
	if err := run.Validate(); err != nil {
		t.Error(err)
	}
	if len(run.Environment) < 4 || run.SUT.Name == "" {
		t.Errorf("environment %v of %q", run.Environment, run.SUT.Name)
	}
}

// What a profile does not ask for is neither tried nor reported.
func TestExecuteLeavesOutWhatTheProfileDoesNotAskFor(t *testing.T) {
	text := profileOf(true)
	for _, id := range []string{"LAT-09", "RIG-01"} {
		text = strings.Replace(text, "  "+id+": {limit: 0 messages, samples: 1, source: judgement}\n", "", 1)
	}
	run, err := execute(t, "more", func(o *spec.Options) {
		if o.Profile, _ = spec.Catalogue().Parse("engine.yaml", []byte(text)); o.Profile == nil {
			t.Fatal("no profile")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	resultOf(t, run, "REC-03")
	for _, r := range run.Results {
		if r.Requirement == "LAT-09" || r.Requirement == "RIG-01" {
			t.Errorf("a result of what was not asked for: %+v", r)
		}
	}
	for _, r := range run.Requirements {
		if r.ID == "LAT-09" || r.ID == "RIG-01" {
			t.Errorf("%s is reported as a requirement", r.ID)
		}
	}
	if err := run.Validate(); err != nil {
		t.Error(err)
	}
	p, err := spec.Catalogue().Parse("engine.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if listed, err := spec.List(p, "checks"); err == nil {
		t.Errorf("a scenario that is asked for nothing is listed: %v", listed)
	}
	if run, err = execute(t, "more", nil); err != nil {
		t.Fatal(err)
	}
	resultOf(t, run, "LAT-09") // asked for, it is judged
}

func TestExecuteSettlesWhatAScenarioLeftOpen(t *testing.T) {
	for _, c := range []struct {
		scenario, requirement string
		verdict               reports.Verdict
		reason                reports.Reason
		words                 string
		overall               reports.Verdict
	}{
		{"forgets", "DEL-01", reports.Error, "", "without judging", reports.Error},
		{"panics", "DEL-03", reports.Error, "", "a nil map, say", reports.Error},
		{"panics", "DEL-02", reports.Pass, "", "holds", reports.Error},
		{"asserts", "ORD-01", reports.Error, "", "to equal", reports.Error},
		{"drive-panics", "INT-03", reports.Error, "", "a closed channel, say", reports.Error},
		{"keeps-nothing", "INT-04", reports.Error, "", "kept none", reports.Error},
		{"keeps-nonsense", "INT-05", reports.Error, "", "cannot be kept", reports.Error},
		{"keeps-another", "INT-06", reports.Error, "", "thinks", reports.Error},
		{"lacks", "SEC-01", reports.NotApplicable, "", "x-nobody-has-it", reports.Pass},
		{"lacks", "SEC-02", reports.Pass, "", "holds", reports.Pass},
		{"needs", "SEC-02", reports.NotApplicable, "", "x-nor-this", reports.NotRun},
		{"checks", "RIG-01", reports.Fail, "", "off", reports.Fail}, // nothing else was selected
	} {
		t.Run(c.scenario+" "+c.requirement, func(t *testing.T) {
			run, err := execute(t, c.scenario, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := resultOf(t, run, c.requirement)
			if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(r.Sentence, c.words) {
				t.Errorf("%s(%s): %q", r.Verdict, r.Reason, r.Sentence)
			}
			if run.Overall != c.overall {
				t.Errorf("overall %s, want %s", run.Overall, c.overall)
			}
			if err := run.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExecuteWhenTheSystemIsGone(t *testing.T) {
	run, err := execute(t, "sut-gone || after-sut-gone", nil)
	if !errors.Is(err, sut.ErrUnavailable) {
		t.Fatalf("error is %v", err)
	}
	for _, id := range []string{"RES-01", "RES-02"} {
		if r := resultOf(t, run, id); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonSUT {
			t.Errorf("%s is %s(%s): %s", id, r.Verdict, r.Reason, r.Sentence)
		}
	}
	if run.Partial == "" || run.Overall == reports.Pass {
		t.Errorf("partial %q, overall %s", run.Partial, run.Overall)
	}
	if run, err = execute(t, "after-sut-gone", nil); err != nil || resultOf(t, run, "RES-02").Verdict != reports.Pass {
		t.Errorf("on its own it gives %v", err)
	}
}

// A system that refuses the viewers of one scenario may serve those of the next.
func TestExecuteWhenTheSystemRefusesAViewer(t *testing.T) {
	run, err := execute(t, "refused || after-sut-gone", nil)
	if !errors.Is(err, sut.ErrUnavailable) {
		t.Fatalf("error is %v", err)
	}
	if r := resultOf(t, run, "STA-03"); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonSUT || !strings.Contains(r.Sentence, "not granted") {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
	if r := resultOf(t, run, "RES-02"); r.Verdict != reports.Pass {
		t.Errorf("the next scenario is %s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// What a scenario judged before it broke off stands, but a rig that breaks off
// has not passed.
func TestExecuteWhenABodyBreaksOffAfterJudging(t *testing.T) {
	run, err := execute(t, "judges-and-panics", nil)
	if !errors.Is(err, spec.ErrFault) {
		t.Fatalf("error is %v", err)
	}
	if r := resultOf(t, run, "INT-01"); r.Verdict != reports.Pass {
		t.Errorf("%s: %s", r.Verdict, r.Sentence)
	}
	if run.Overall == reports.Pass || !strings.Contains(run.Partial, "judges-and-panics") || !strings.Contains(run.Partial, "a figure of nothing") {
		t.Errorf("overall %s, partial %q", run.Overall, run.Partial)
	}
	if err := run.Validate(); err != nil {
		t.Error(err)
	}
}

func TestExecuteWhenAPartOfTheBenchIsGone(t *testing.T) {
	run, err := execute(t, "bench-gone || good", nil)
	if !errors.Is(err, harness.ErrBench) {
		t.Fatalf("error is %v", err)
	}
	if r := resultOf(t, run, "PRO-01"); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig || r.Attempt != 1 {
		t.Errorf("%s(%s), attempt %d: %s", r.Verdict, r.Reason, r.Attempt, r.Sentence)
	}
	if resultOf(t, run, "LAT-01").Verdict != reports.Pass || !strings.Contains(run.Partial, "the plug") {
		t.Errorf("partial is %q", run.Partial)
	}
}

// A full disk is the bench's fault, said once with its mend; whatever would
// still be recorded would be lost, so no further scenario begins.
func TestExecuteWhenTheDiskFillsUp(t *testing.T) {
	run, err := execute(t, "disk-full || after-disk-full", nil)
	if !errors.Is(err, harness.ErrSpace) {
		t.Fatalf("error is %v", err)
	}
	for _, id := range []string{"RES-03", "RES-04"} {
		if r := resultOf(t, run, id); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig || !strings.Contains(r.Sentence, "is full") {
			t.Errorf("%s is %s(%s): %s", id, r.Verdict, r.Reason, r.Sentence)
		}
	}
	if !strings.Contains(run.Partial, "records.bin") || !strings.Contains(err.Error(), "records.bin") {
		t.Errorf("partial is %q, the error %q", run.Partial, err)
	}
	if run, err := execute(t, "after-disk-full", nil); err != nil || resultOf(t, run, "RES-04").Verdict != reports.Pass {
		t.Errorf("on its own it gives %v", err)
	}
}

// The disk of another folder is full: whatever else is recorded is not lost.
func TestExecuteWhenAnotherDiskFillsUp(t *testing.T) {
	run, err := execute(t, "other-disk-full || after-disk-full", nil)
	if !errors.Is(err, harness.ErrBench) || errors.Is(err, harness.ErrSpace) || !strings.Contains(err.Error(), "scratch") {
		t.Fatalf("error is %v", err)
	}
	if r := resultOf(t, run, "INT-02"); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig || strings.Contains(r.Sentence, "run directory") {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
	if r := resultOf(t, run, "RES-04"); r.Verdict != reports.Pass {
		t.Errorf("the next scenario is %s: %s", r.Verdict, r.Sentence)
	}
}

func TestExecuteInterrupted(t *testing.T) {
	run, err := execute(t, "interrupted || sut-gone", nil)
	if !errors.Is(err, spec.ErrInterrupted) {
		t.Fatalf("error is %v", err)
	}
	for _, id := range []string{"REC-02", "RES-01"} {
		if r := resultOf(t, run, id); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonInterrupted {
			t.Errorf("%s is %s(%s): %s", id, r.Verdict, r.Reason, r.Sentence)
		}
	}
	if !strings.HasPrefix(run.Partial, "interrupted") {
		t.Errorf("partial is %q", run.Partial)
	}
}

func TestExecuteTimesOut(t *testing.T) {
	run, err := execute(t, "times-out", func(o *spec.Options) { o.Timeout = 300 * 1e6 })
	if err != nil {
		t.Fatal(err)
	}
	if r := resultOf(t, run, "REC-01"); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonBudget {
		t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
}

func TestExecuteRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*spec.Options)
		want   error
	}{
		{"nothing selected", func(o *spec.Options) { o.LabelFilter = "nosuch" }, spec.ErrEmpty},
		{"broken filter", func(o *spec.Options) { o.LabelFilter = "(LAT" }, spec.ErrUsage},
		{"no profile", func(o *spec.Options) { o.Profile = nil }, spec.ErrUsage},
		{"no directory", func(o *spec.Options) { o.Dir = "" }, spec.ErrUsage},
		{"certify a selection", func(o *spec.Options) { o.Certify, o.LabelFilter = true, "good" }, spec.ErrUsage},
		{"certify without certifying", func(o *spec.Options) { o.Certify, o.LabelFilter = true, ""; o.Profile, _ = engineProfile(false) }, spec.ErrUsage},
		{"no such port", func(o *spec.Options) {
			o.Devices = []harness.DeviceSpec{{ID: "x", Kind: harness.KindSerial, Port: "/dev/no-such-port"}}
		}, harness.ErrBench},
		{"no such recording", func(o *spec.Options) {
			o.Devices = []harness.DeviceSpec{{ID: "x", Kind: harness.KindRecording, Path: "/no/such.log"}}
		}, harness.ErrBench},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := execute(t, "good", c.change)
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var events []spec.Event
	if _, err := execute(t, "good || forgets", func(o *spec.Options) { o.Progress = func(e spec.Event) { events = append(events, e) } }); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, string(e.Kind)+" "+e.Scenario)
	}
	want := "run-began ,scenario-began good,step-began good,scenario-finished good,scenario-began forgets,scenario-finished forgets"
	if got := strings.Join(kinds, ","); got != want {
		t.Errorf("events are %s, want %s", got, want)
	}
	last := events[len(events)-1]
	if last.Verdict != reports.Error || last.Index != 2 || last.Total != 2 || last.Headline == "" {
		t.Errorf("the last event is %+v", last)
	}
}

// Only what a validity gate voided is repeated, at most twice, and every
// attempt is reported.
func TestVoidedAttemptsAreRepeated(t *testing.T) {
	for _, c := range []struct {
		scenario string
		noise    int
		attempts int
		verdict  reports.Verdict
	}{
		{"noisy", 0, 1, reports.Pass},
		{"noisy", 2, 3, reports.Pass},
		{"noisy", 9, 3, reports.Inconclusive},
		{"short", 0, 1, reports.Inconclusive},
	} {
		noise = c.noise
		var told []reports.Result
		run, err := execute(t, c.scenario, func(o *spec.Options) {
			o.Progress = func(e spec.Event) {
				if e.Kind == spec.ScenarioFinished {
					told = append(told, e.Results...)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		var mine []reports.Result
		for _, r := range run.Results {
			if r.Scenario == c.scenario {
				mine = append(mine, r)
			}
		}
		if len(mine) != c.attempts || mine[len(mine)-1].Attempt != c.attempts || mine[len(mine)-1].Verdict != c.verdict {
			t.Errorf("%s with %d voided: %+v", c.scenario, c.noise, mine)
		}
		if len(told) != c.attempts {
			t.Errorf("%s with %d voided: whoever watches is told of %d attempts, want %d", c.scenario, c.noise, len(told), c.attempts)
		}
		for _, j := range run.Judgements() {
			if j.Requirement.ID == mine[0].Requirement && j.Verdict != c.verdict {
				t.Errorf("%s with %d voided is judged %s, want %s", c.scenario, c.noise, j.Verdict, c.verdict)
			}
		}
	}
}

// onceEach lets a test call Ginkgo under go test -count: Ginkgo refuses that
// flag, because it cannot tell that its tree is built anew each time.
func onceEach(t *testing.T) {
	t.Helper()
	count := flag.Lookup("test.count").Value
	was := count.String()
	if err := count.Set("1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := count.Set(was); err != nil {
			t.Error(err)
		}
	})
}

func TestListNeedsNoSystem(t *testing.T) {
	p, err := engineProfile(false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := spec.List(p, "")
	if err != nil || len(all) < 10 {
		t.Fatalf("%d scenarios are listed, %v", len(all), err)
	}
	if got, err := spec.List(p, "req:LAT-01"); err != nil || len(got) != 1 || got[0].ID != "good" || got[0].Guarantee() != "Behaviour" {
		t.Errorf("the label selects %+v, %v", got, err)
	}
	if _, err := spec.List(p, "nosuch"); !errors.Is(err, spec.ErrEmpty) {
		t.Errorf("an empty selection gives %v", err)
	}
	if _, err := spec.List(p, "(LAT"); !errors.Is(err, spec.ErrUsage) {
		t.Errorf("a broken filter gives %v", err)
	}
	if _, err := spec.List(nil, ""); err == nil {
		t.Error("scenarios were listed without a profile")
	}
}

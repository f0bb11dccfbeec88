package defects

import (
	"strings"
	"testing"

	"plumbline/reports"
)

// runOf is a run that asks for A and B, with these verdicts; NotRun leaves a
// requirement without a result.
func runOf(a, b reports.Verdict) *reports.Run {
	run := &reports.Run{Requirements: []reports.Requirement{{ID: "A"}, {ID: "B"}}}
	for id, v := range map[string]reports.Verdict{"A": a, "B": b} {
		if v != reports.NotRun {
			run.Results = append(run.Results, reports.Result{Requirement: id, Verdict: v, Sentence: id + " says " + v.String()})
		}
	}
	return run
}

// A control is green only by a PASS of everything in question: what was not run,
// does not apply or was left open shows nothing.
func TestAControlIsGreenByEvidenceOnly(t *testing.T) {
	both, one := []string{"A", "B"}, []string{"A"}
	for _, c := range []struct {
		name  string
		run   *reports.Run
		named []string
		whole bool
		want  Status
	}{
		{"all pass", runOf(reports.Pass, reports.Pass), both, false, Green},
		{"nothing was judged", runOf(reports.NotRun, reports.NotRun), nil, false, Broken},
		{"nothing of a whole run was judged", runOf(reports.NotRun, reports.NotRun), nil, true, Inconclusive},
		{"a part of a whole run was not judged", runOf(reports.Pass, reports.NotRun), nil, true, Inconclusive},
		{"what a filter left out", runOf(reports.Pass, reports.NotRun), nil, false, Green},
		{"one in question was not run", runOf(reports.Pass, reports.NotRun), both, false, Inconclusive},
		{"one in question does not apply", runOf(reports.Pass, reports.NotApplicable), both, false, Inconclusive},
		{"one in question is not known", runOf(reports.Pass, reports.Pass), []string{"A", "C"}, false, Broken},
		{"one that does not apply is not in question", runOf(reports.Pass, reports.NotApplicable), nil, true, Green},
		{"one was left open", runOf(reports.Pass, reports.Inconclusive), both, false, Inconclusive},
		{"one is conditional", runOf(reports.ConditionalPass, reports.Pass), both, false, Inconclusive},
		{"a false alarm", runOf(reports.Fail, reports.Inconclusive), both, false, FalseFail},
		{"half of a false alarm", runOf(reports.Pass, reports.ConditionalFail), both, false, FalseFail},
		{"a false alarm of what does not count", runOf(reports.Pass, reports.Fail), one, false, Green},
		{"the harness went wrong", runOf(reports.Error, reports.Pass), both, false, Broken},
	} {
		if got, why := hold(c.run, c.named, c.whole); got != c.want {
			t.Errorf("%s: %s (%s), want %s", c.name, got, why, c.want)
		}
	}
}

func TestADefectIsKilledByTheNamedRequirementWhenItFired(t *testing.T) {
	for _, c := range []struct {
		verdict reports.Verdict
		fired   uint64
		want    Status
	}{
		{reports.Fail, 1, Killed},
		{reports.Fail, 0, NeverFired},
		{reports.Pass, 1, Survived},
		{reports.ConditionalFail, 1, Survived},
		{reports.Inconclusive, 1, Inconclusive},
		{reports.NotApplicable, 1, Inconclusive},
		{reports.NotRun, 1, Inconclusive},
		{reports.Error, 1, Broken},
	} {
		if got, _ := statusOf(runOf(c.verdict, reports.Fail).Judgements()[0], c.fired); got != c.want {
			t.Errorf("%s, fired %d times: %s, want %s", c.verdict, c.fired, got, c.want)
		}
	}
}

// A FAIL that the same trial without the defect might have said as well proves
// nothing about the defect.
func TestAKillIsHeldAgainstTheTrialWithoutTheDefect(t *testing.T) {
	killed := Outcome{ID: "F01", Kills: "A", Status: Killed, Why: "10 losses"}
	for without, want := range map[string]Status{
		"PASS": Killed, withinLimit: Killed, "FAIL": Unproven, "CONDITIONAL FAIL": Unproven, "INCONCLUSIVE": Unproven, "CONDITIONAL PASS": Unproven, "": Unproven,
	} {
		got := killed.Against(without)
		if got.Status != want || got.Without != without || !strings.HasPrefix(got.Why, "10 losses") {
			t.Errorf("without the defect %q: %+v, want %s", without, got, want)
		}
	}
	if got := (Outcome{Status: Survived}).Against("FAIL"); got.Status != Survived {
		t.Errorf("a survivor became %s", got.Status)
	}
}

// A quantile may lack samples for a PASS; without a defect it must then show not
// one message above its limit.
func TestTooFewSamplesClearABridgeThatIsNeverLate(t *testing.T) {
	for _, c := range []struct {
		reason reports.Reason
		m      *reports.Measurement
		want   string
	}{
		{reports.ReasonSamples, &reports.Measurement{Quantile: 0.9999, N: 100}, withinLimit},
		{reports.ReasonSamples, &reports.Measurement{Quantile: 0.9999, N: 100, ExceedFail: 1}, "INCONCLUSIVE"},
		{reports.ReasonSamples, &reports.Measurement{Quantile: 0.9999}, "INCONCLUSIVE"},
		{reports.ReasonSamples, &reports.Measurement{N: 100}, "INCONCLUSIVE"},
		{reports.ReasonSamples, nil, "INCONCLUSIVE"},
		{reports.ReasonRig, &reports.Measurement{Quantile: 0.9999, N: 100}, "INCONCLUSIVE"},
	} {
		run := runOf(reports.Inconclusive, reports.Pass)
		for i := range run.Results {
			run.Results[i].Reason, run.Results[i].Measurement = c.reason, c.m
		}
		if got := soberly(run.Judgements()[0]); got != c.want {
			t.Errorf("%s, %+v: %q, want %q", c.reason, c.m, got, c.want)
		}
	}
}

// A trial that could not be run is still one of its defect: it counts as missed.
func TestWhatCouldNotBeTriedIsMissed(t *testing.T) {
	sum := Sum([]Outcome{Untried("F01", "no room"), Untried("C-gap", "no room")})
	if sum.Seeded != 1 || sum.Killed != 0 || sum.Controls != 1 || sum.Green != 0 || sum.Good() {
		t.Errorf("%+v", sum)
	}
	d, _ := Find("F01")
	if out := Untried("F01", "no room"); out.Kills != d.Kills || out.Title != d.Title || out.Param != d.Param || out.Status != Broken {
		t.Errorf("%+v", out)
	}
}

// What a control of every scenario is asked must be something that its loads can
// answer: none may ask for more samples than there are exercises.
func TestTheControlOfAllScenariosCanBeGreen(t *testing.T) {
	p, err := asks{}.profile()
	if err != nil {
		t.Fatal(err)
	}
	for id, exercised := range map[string]int{
		"REC-04": p.Loads["storm"].Viewers * p.Loads["storm"].Cycles,
		"REC-05": p.Loads["refill"].Devices * p.Loads["refill"].Cycles,
		"RES-02": p.Loads["churn"].Cycles, "RES-03": p.Loads["churn"].Cycles,
		"LAT-08": p.Loads["connect"].Cycles, "ORD-03": p.Loads["mixed"].Burst * p.Loads["mixed"].Cycles * p.Loads["mixed"].Viewers,
	} {
		if limit := p.Limits[id]; limit.Samples == 0 || int64(exercised) < limit.Samples {
			t.Errorf("%s asks for %d samples, its load makes %d", id, limit.Samples, exercised)
		}
	}
}

// What is to be green goes on while its quantiles have too few samples.
func TestWhatIsToBeGreenGoesOnForWantOfSamples(t *testing.T) {
	control, _ := FindControl("C-latency")
	defect, _ := Find("F20")
	for name, c := range map[string]struct {
		asks   asks
		extend bool
	}{"a clean campaign": {campaignAsks, true}, "a control": {control.asked(), true}, "a defect": {defect.asked(), false}} {
		p, err := c.asks.profile()
		if err != nil {
			t.Fatal(err)
		}
		for _, load := range []string{"steady", "connect"} {
			if extend := p.Loads[load].Extend; (extend > 0) != c.extend {
				t.Errorf("%s: load %s goes on %d times", name, load, extend)
			}
		}
	}
}

// Trials that share a condition share what is without a defect, and differ in
// nothing but the defect.
func TestConditionsTellTrialsApart(t *testing.T) {
	f01, _ := Find("F01")
	f09, _ := Find("F09")
	f67, _ := Find("F67")
	f43, _ := Find("F43")
	f44, _ := Find("F44")
	for _, d := range looped { // which the control, whose rig declares no nodes, cannot stand beside
		if d.Plain() || !strings.HasSuffix(d.Condition(), ", 8 nodes") || len(declared(d.Nodes)) != 8 {
			t.Errorf("%s is tried under %s, as plain as the control: %v", d.ID, d.Condition(), d.Plain())
		}
	}
	if f01.Condition() != f09.Condition() || f01.Condition() == f67.Condition() || f43.Condition() == f44.Condition() {
		t.Error("conditions do not tell loads and keys apart")
	}
	if !f44.Plain() || f43.Plain() || f01.Plain() {
		t.Error("only a defect that changes nothing about its trial is plain")
	}
}

package reports

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func requirement(id string, class Class) Requirement {
	r := Requirement{ID: id, Title: id, Text: "It shall.", Class: class}
	if class == Conditional {
		r.Capability = "resume"
	}
	return r
}

func result(id, scenario string, v Verdict) Result {
	r := Result{Requirement: id, Scenario: scenario, Verdict: v, Attempt: 1, Sentence: "Said."}
	if v == Inconclusive {
		r.Reason = ReasonSamples
	}
	return r
}

func TestJudgeOverall(t *testing.T) {
	mandatory, conditional, optional := requirement("A-01", Mandatory), requirement("B-01", Conditional), requirement("C-01", Optional)
	for _, c := range []struct {
		name    string
		reqs    []Requirement
		results []Result
		partial string
		want    Verdict
	}{
		{"nothing at all", nil, nil, "", NotRun},
		{"nothing run", []Requirement{mandatory}, nil, "", NotRun},
		{"only optional, and an unlisted one", []Requirement{optional}, []Result{result("C-01", "s", Fail), result("Z-09", "s", Pass)}, "", Pass},
		{"only not applicable", []Requirement{conditional}, []Result{result("B-01", "s", NotApplicable)}, "", NotRun},
		{"mandatory not applicable", []Requirement{mandatory, conditional}, []Result{result("A-01", "s", NotApplicable), result("B-01", "s", Pass)}, "", NotRun},
		{"all passed", []Requirement{mandatory, conditional}, []Result{result("A-01", "s", Pass), result("B-01", "s", Pass)}, "", Pass},
		{"conditional not applicable", []Requirement{mandatory, conditional}, []Result{result("A-01", "s", Pass), result("B-01", "s", NotApplicable)}, "", Pass},
		{"one left out", []Requirement{mandatory, conditional}, []Result{result("A-01", "s", Pass)}, "", NotRun},
		{"conditional failed", []Requirement{mandatory, conditional}, []Result{result("A-01", "s", Pass), result("B-01", "s", Fail)}, "", Fail},
		{"optional failed", []Requirement{mandatory, optional}, []Result{result("A-01", "s", Pass), result("C-01", "s", Fail)}, "", Pass},
		{"an error of an optional one voids the run", []Requirement{mandatory, optional}, []Result{result("A-01", "s", Pass), result("C-01", "s", Error)}, "", Error},
		{"two scenarios, worst counts", []Requirement{mandatory}, []Result{result("A-01", "s", Pass), result("A-01", "t", ConditionalFail)}, "", ConditionalFail},
		{"partial never passes", []Requirement{mandatory}, []Result{result("A-01", "s", Pass)}, "interrupted", Inconclusive},
		{"partial keeps a fail", []Requirement{mandatory}, []Result{result("A-01", "s", Fail)}, "interrupted", Fail},
		{"unlisted requirement decides too", []Requirement{mandatory}, []Result{result("A-01", "s", Pass), result("Z-09", "s", Fail)}, "", Fail},
		{"undefined class decides", []Requirement{{ID: "A-01"}}, []Result{result("A-01", "s", Fail)}, "", Fail},
	} {
		run := Run{Requirements: c.reqs, Results: c.results, Partial: c.partial}
		if got := run.Judge(); got != c.want {
			t.Errorf("%s: Judge() = %v, want %v", c.name, got, c.want)
		}
	}
}

// TestSelectionIsJudgedAndCertifiesNothing: what the user left out does not count
// against what was selected, and what was selected and not run does.
func TestSelectionIsJudgedAndCertifiesNothing(t *testing.T) {
	run := validRun()
	run.Certifying = false
	run.Deselected = &Deselection{Filter: "s", Scenarios: []string{"t"}, Requirements: []Requirement{requirement("Z-01", Mandatory)}}
	if err := run.Validate(); err != nil || run.Judge() != Pass {
		t.Errorf("a selection that passed is %s: %v", run.Judge(), err)
	}
	if run.Certifying = true; run.Certified() {
		t.Error("a selection is certified")
	}
	run.Requirements = append(run.Requirements, requirement("Y-01", Mandatory))
	if run.Judge() != NotRun {
		t.Errorf("a requirement that was selected and not run leaves %s", run.Judge())
	}
}

// TestInformativeOnesAloneAreJudgedByThemselves: whoever selects nothing else, or takes a profile that asks for
// nothing else, asks for those; where anything required is asked for they decide nothing, and they never certify.
func TestInformativeOnesAloneAreJudgedByThemselves(t *testing.T) {
	first, second, mandatory := requirement("C-01", Optional), requirement("C-02", Optional), requirement("A-01", Mandatory)
	for name, c := range map[string]struct {
		reqs    []Requirement
		results []Result
		partial string
		want    Verdict
	}{
		"both passed":              {[]Requirement{first, second}, []Result{result("C-01", "s", Pass), result("C-02", "s", Pass)}, "", Pass},
		"one failed":               {[]Requirement{first, second}, []Result{result("C-01", "s", Pass), result("C-02", "s", Fail)}, "", Fail},
		"one is undecided":         {[]Requirement{first, second}, []Result{result("C-01", "s", Pass), result("C-02", "s", Inconclusive)}, "", Inconclusive},
		"one was not run":          {[]Requirement{first, second}, []Result{result("C-01", "s", Pass)}, "", NotRun},
		"one does not apply":       {[]Requirement{first, second}, []Result{result("C-01", "s", Pass), result("C-02", "s", NotApplicable)}, "", Pass},
		"none applies":             {[]Requirement{first, second}, []Result{result("C-01", "s", NotApplicable), result("C-02", "s", NotApplicable)}, "", NotRun},
		"nothing was selected":     {nil, nil, "", NotRun},
		"it was interrupted":       {[]Requirement{first}, []Result{result("C-01", "s", Pass)}, "interrupted", Inconclusive},
		"beside one that must":     {[]Requirement{first, mandatory}, []Result{result("C-01", "s", Fail), result("A-01", "s", Pass)}, "", Pass},
		"beside one that must not": {[]Requirement{first, mandatory}, []Result{result("C-01", "s", Pass), result("A-01", "s", Fail)}, "", Fail},
	} {
		for _, left := range []*Deselection{nil, {Filter: "C"}} {
			run := Run{Requirements: c.reqs, Results: c.results, Partial: c.partial, Deselected: left}
			if got := run.Judge(); got != c.want {
				t.Errorf("%s: Judge() = %v, want %v", name, got, c.want)
			}
			run.Certifying = true
			if alone := !slices.ContainsFunc(c.reqs, func(r Requirement) bool { return r.Class != Optional }); alone && (run.Judge() == Pass || run.Certified()) {
				t.Errorf("%s: a run that may certify is %v, certified %v", name, run.Judge(), run.Certified())
			}
		}
	}
}

// TestNotApplicableNeedsTheCapabilityMissing: who declares a capability cannot
// have its requirement waved through.
func TestNotApplicableNeedsTheCapabilityMissing(t *testing.T) {
	run := Run{Requirements: []Requirement{requirement("A-01", Mandatory), requirement("B-01", Conditional)},
		Results: []Result{result("A-01", "s", Pass), result("B-01", "s", NotApplicable)}}
	run.SUT.Capabilities = []string{"snapshot"}
	if got := run.Judge(); got != Pass {
		t.Errorf("capability not declared: Judge() = %v, want PASS", got)
	}
	run.SUT.Capabilities = []string{"snapshot", "resume"}
	if got := run.Judge(); got != NotRun {
		t.Errorf("capability declared: Judge() = %v, want NOT RUN", got)
	}
}

// TestAttempts checks that only a voided attempt can be replaced: no retries
// towards green.
func TestAttempts(t *testing.T) {
	void := func(reason Reason) Result {
		r := result("A-01", "s", Inconclusive)
		r.Reason = reason
		return r
	}
	second := result("A-01", "s", Pass)
	second.Attempt = 2
	otherScenario := second
	otherScenario.Scenario = "t"
	for _, c := range []struct {
		name  string
		first Result
		next  Result
		want  Verdict
	}{
		{"voided by the rig", void(ReasonRig), second, Pass},
		{"voided by the generator", void(ReasonGenerator), second, Pass},
		{"voided by the clock", void(ReasonClock), second, Pass},
		{"voided by the environment", void(ReasonEnvironment), second, Pass},
		{"voided by drift", void(ReasonNonstationary), second, Pass},
		{"too few samples stay", void(ReasonSamples), second, Inconclusive},
		{"exhausted budget stays", void(ReasonBudget), second, Inconclusive},
		{"unavailable system stays", void(ReasonSUT), second, Inconclusive},
		{"interruption stays", void(ReasonInterrupted), second, Inconclusive},
		{"failure stays", result("A-01", "s", Fail), second, Fail},
		{"error stays", result("A-01", "s", Error), second, Error},
		{"conditional pass stays", result("A-01", "s", ConditionalPass), second, ConditionalPass},
		{"another scenario does not replace", void(ReasonRig), otherScenario, Inconclusive},
	} {
		run := Run{Requirements: []Requirement{requirement("A-01", Mandatory)}, Results: []Result{c.first, c.next}}
		j := run.Judgements()[0]
		if j.Verdict != c.want {
			t.Errorf("%s: verdict %v, want %v", c.name, j.Verdict, c.want)
		}
		if wantSuperseded := c.want == Pass; (len(j.Superseded) == 1) != wantSuperseded {
			t.Errorf("%s: %d superseded attempts", c.name, len(j.Superseded))
		}
	}
}

func TestJudgementsOrderAndDeciding(t *testing.T) {
	run := Run{Requirements: []Requirement{requirement("B-01", Mandatory), requirement("A-01", Mandatory)},
		Results: []Result{result("A-01", "s", Pass), result("A-01", "t", Inconclusive), result("Q-07", "s", Pass)}}
	js := run.Judgements()
	var ids []string
	for _, j := range js {
		ids = append(ids, j.Requirement.ID)
	}
	if got := strings.Join(ids, " "); got != "B-01 A-01 Q-07" {
		t.Errorf("order %q, want that of the catalogue, then unlisted", got)
	}
	if js[0].Deciding != nil || js[0].Verdict != NotRun || !js[0].Listed {
		t.Errorf("requirement without result: %+v", js[0])
	}
	if js[1].Deciding == nil || js[1].Deciding.Scenario != "t" || js[1].Reason != ReasonSamples {
		t.Errorf("deciding result is %+v, want the one of scenario t", js[1].Deciding)
	}
	if js[2].Listed {
		t.Error("unlisted requirement is marked as listed")
	}
}

func TestCounts(t *testing.T) {
	run := Run{Requirements: []Requirement{requirement("A-01", Mandatory), requirement("B-01", Mandatory), requirement("C-01", Conditional)},
		Results: []Result{result("A-01", "s", Pass), result("B-01", "s", Fail)}}
	run.Results[1].Findings = make([]Finding, 3)
	want := "3 requirements: 1 PASS, 1 FAIL, 0 ERROR, 0 INCONCLUSIVE, 0 CONDITIONAL FAIL, 0 CONDITIONAL PASS, 1 NOT RUN, 0 N/A"
	if got := run.Count(); got.String() != want || got.Findings != 3 {
		t.Errorf("Count() = %q with %d findings, want %q with 3", got, got.Findings, want)
	}
}

func validRun() *Run {
	run := &Run{Schema: SchemaVersion, ID: "r1", Started: time.Unix(100, 0), Finished: time.Unix(160, 0), Certifying: true,
		Requirements: []Requirement{requirement("A-01", Mandatory)}, Results: []Result{result("A-01", "s", Pass)}}
	run.Overall = run.Judge()
	return run
}

func TestCertified(t *testing.T) {
	if !validRun().Certified() {
		t.Error("a whole passing certifying run is not certified")
	}
	for name, change := range map[string]func(*Run){
		"partial":        func(r *Run) { r.Partial = "disk full" },
		"not certifying": func(r *Run) { r.Certifying = false },
		"failed":         func(r *Run) { r.Results[0].Verdict = Fail },
		"overall forged": func(r *Run) { r.Results, r.Overall = nil, Pass },
	} {
		run := validRun()
		change(run)
		if run.Certified() {
			t.Errorf("%s: run is certified", name)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := validRun().Validate(); err != nil {
		t.Fatalf("valid run: %v", err)
	}
	for _, c := range []struct {
		want   string
		change func(*Run)
	}{
		{"schema is", func(r *Run) { r.Schema = "v0" }},
		{"its id is empty", func(r *Run) { r.ID = "" }},
		{"its id is empty", func(r *Run) { r.ID = "../../x" }},
		{"its id is empty", func(r *Run) { r.ID = ".." }},
		{"its id is empty", func(r *Run) { r.ID = strings.Repeat("x", 129) }},
		{"not an interval", func(r *Run) { r.Finished = r.Started.Add(-1) }},
		{"not an interval", func(r *Run) { r.Started = time.Time{} }},
		{"listed twice", func(r *Run) { r.Requirements = append(r.Requirements, r.Requirements[0]) }},
		{"is empty", func(r *Run) { r.Requirements = append(r.Requirements, Requirement{Text: "x", Class: Optional}) }},
		{"other characters", func(r *Run) { r.Requirements[0].ID = "A 01" }},
		{"does not list", func(r *Run) { r.Results = append(r.Results, result("Z-01", "s", Pass)) }},
		{"class", func(r *Run) { r.Requirements[0].Class = "maybe" }},
		{"needs a capability", func(r *Run) { r.Requirements[0].Class = Conditional }},
		{"no text", func(r *Run) { r.Requirements[0].Text = "" }},
		{"quantile", func(r *Run) { r.Requirements[0].Quantile = 1 }},
		{"no scenario", func(r *Run) { r.Results[0].Scenario = "" }},
		{"attempt 0", func(r *Run) { r.Results[0].Attempt = 0 }},
		{"needs a reason", func(r *Run) { r.Results[0].Verdict, r.Overall = Inconclusive, Inconclusive }},
		{"needs its sentence", func(r *Run) { r.Results[0].Sentence = "" }},
		{"not defined", func(r *Run) { r.Results[0].Verdict = 77 }},
		{"n = 0", func(r *Run) { r.Results[0].Measurement = &Measurement{} }},
		{"vif is NaN", func(r *Run) { r.Results[0].Measurement = &Measurement{N: 1, VIF: math.NaN()} }},
		{"without its figures", func(r *Run) { r.Requirements[0].Rule = "DR-2" }},
		{"without its figures", func(r *Run) { r.Requirements[0].Rule = "zero-event" }},
		{"1 violations", func(r *Run) {
			r.Requirements[0].Rule, r.Results[0].Measurement = "zero-event", &Measurement{N: 9, Events: 1}
		}},
		{"certifies and has", func(r *Run) { r.Certifying, r.Deselected = true, &Deselection{Scenarios: []string{"s"}} }},
		{"names no scenario", func(r *Run) { r.Deselected = &Deselection{Requirements: []Requirement{requirement("Z-01", Mandatory)}} }},
		{"listed or judged all the same", func(r *Run) {
			r.Deselected = &Deselection{Scenarios: []string{"s"}, Requirements: []Requirement{r.Requirements[0]}}
		}},
		{"results say", func(r *Run) { r.Overall = Fail }},
		{"results say", func(r *Run) { r.Partial = "interrupted" }},
	} {
		run := validRun()
		c.change(run)
		if err := run.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error with %q, got %v", c.want, err)
		}
	}
}

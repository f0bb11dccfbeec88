package exit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"plumbline/reports"
)

func TestCodeOfErrors(t *testing.T) {
	plain := errors.New("boom")
	cases := []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, 0},
		{"unforeseen", plain, 5},
		{"usage", Usage(plain, ""), 2},
		{"wrapped usage", fmt.Errorf("run: %w", Usage(plain, "")), 2},
		{"verify", With(reports.ExitVerify, plain, ""), 6},
		{"nearest code kept", With(4, fmt.Errorf("x: %w", Usage(plain, "")), ""), 2},
		{"interrupted", fmt.Errorf("run: %w", ErrInterrupted), 130},
		{"interrupted beats a carried code", With(5, ErrInterrupted, ""), 130},
		{"cancelled by nobody", context.Canceled, 5},
	}
	for _, c := range cases {
		if got := Code(c.err); got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
	if With(4, nil, "x") != nil {
		t.Error("With(nil) is an error")
	}
	if got := Mend(fmt.Errorf("a: %w", Usage(plain, "do this"))); got != "do this" {
		t.Errorf("mend %q, want %q", got, "do this")
	}
}

func TestWorstKeepsThePublishedPrecedence(t *testing.T) {
	cases := []struct {
		codes []int
		want  int
	}{
		{nil, 3},
		{[]int{0}, 0},
		{[]int{0, 3}, 3},
		{[]int{3, 1, 0}, 1},
		{[]int{1, 4}, 4},
		{[]int{4, 5, 1}, 5},
		{[]int{5, 130}, 130},
		{[]int{0, 2}, 2},
		{[]int{6, 0}, 6},
	}
	for _, c := range cases {
		if got := Worst(c.codes...); got != c.want {
			t.Errorf("Worst(%v) = %d, want %d", c.codes, got, c.want)
		}
	}
}

func TestOfRun(t *testing.T) {
	result := func(id string, v reports.Verdict) reports.Result {
		return reports.Result{Requirement: id, Verdict: v, Scenario: "s", Attempt: 1}
	}
	run := func(results ...reports.Result) reports.Run { return reports.Run{Results: results} }
	gone := result("REC-01", reports.Inconclusive)
	gone.Reason = reports.ReasonSUT
	unjudged := run(result("A-1", reports.Pass))
	unjudged.Requirements = []reports.Requirement{{ID: "A-1"}, {ID: "A-2"}}
	selected := run(result("A-1", reports.Pass))
	selected.Deselected = &reports.Deselection{Scenarios: []string{"t"}, Requirements: []reports.Requirement{{ID: "A-2"}}}
	partial := run(result("A-1", reports.Pass))
	partial.Partial = "interrupted"
	notApplicable := run(result("A-1", reports.NotApplicable))
	notApplicable.Requirements = []reports.Requirement{{ID: "A-1", Class: reports.Conditional, Capability: "x"}}
	optional := run(result("A-1", reports.Pass), result("OPT-1", reports.Fail))
	optional.Requirements = []reports.Requirement{{ID: "OPT-1", Class: reports.Optional}}
	optionalError := run(result("A-1", reports.Pass), result("OPT-1", reports.Error))
	optionalError.Requirements = optional.Requirements

	informative := func(v reports.Verdict) reports.Run {
		r := run(result("OPT-1", v))
		r.Requirements, r.Deselected = optional.Requirements, &reports.Deselection{Filter: "OPT"}
		return r
	}
	absent := informative(reports.Inconclusive)
	absent.Results[0].Reason = reports.ReasonSUT
	profiled := func(v reports.Verdict) reports.Run {
		r := informative(v)
		r.Deselected = nil
		return r
	}

	cases := []struct {
		name string
		run  reports.Run
		want int
	}{
		{"selected informative ones passed", informative(reports.Pass), 0},
		{"selected informative ones failed", informative(reports.Fail), 1},
		{"selected informative ones, and nobody was there", absent, 4},
		{"a profile of informative ones that passed", profiled(reports.Pass), 0},
		{"a profile of informative ones that failed", profiled(reports.Fail), 1},
		{"a profile of informative ones, undecided", profiled(reports.Inconclusive), 3},
		{"zero value", reports.Run{}, 3},
		{"all passed", run(result("A-1", reports.Pass)), 0},
		{"only N/A", notApplicable, 3},
		{"one fails", run(result("A-1", reports.Pass), result("A-2", reports.Fail)), 1},
		{"failure not hidden by unknown", run(result("A-1", reports.Fail), result("A-2", reports.Inconclusive)), 1},
		{"harness fault", run(result("A-1", reports.Fail), result("A-2", reports.Error)), 5},
		{"system gone", run(result("A-1", reports.Fail), gone), 4},
		{"conditional", run(result("A-1", reports.ConditionalPass)), 3},
		{"the selection passed", selected, 0},
		{"not run", run(result("A-1", reports.Pass), result("A-2", reports.NotRun)), 3},
		{"no result", unjudged, 3},
		{"partial never passes", partial, 3},
		{"optional failure does not decide", optional, 0},
		{"optional error does", optionalError, 5},
	}
	for _, c := range cases {
		if got := OfRun(&c.run); got != c.want {
			t.Errorf("%s: exit %d, want %d", c.name, got, c.want)
		}
	}
}

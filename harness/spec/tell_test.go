package spec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"plumbline/harness/spec"
	"plumbline/reports"
)

// watched runs scenarios and returns what whoever watches was told.
func watched(t *testing.T, filter string) []spec.Event {
	t.Helper()
	var all []spec.Event // told one at a time, all before Execute returns
	if _, err := execute(t, filter, func(o *spec.Options) { o.Progress = func(ev spec.Event) { all = append(all, ev) } }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhoeverWatchesIsToldInOrder(t *testing.T) {
	all := watched(t, "good || more")
	var got []string
	for i, ev := range all {
		got = append(got, fmt.Sprintf("%s %s %d/%d", ev.Kind, ev.Scenario, ev.Index, ev.Total))
		if ev.At.IsZero() || ev.Left < 0 || i > 0 && ev.At.Before(all[i-1].At) {
			t.Errorf("event %d happened at %v, %v left", i, ev.At, ev.Left)
		}
	}
	want := []string{
		"run-began  0/2", "scenario-began good 1/2", "step-began good 0/0", "scenario-finished good 1/2",
		"scenario-began more 2/2", "scenario-finished more 2/2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	plan := all[0].Plan
	if len(plan) != 2 || plan[0].ID != "good" || !slices.Equal(plan[0].Requirements, []string{"LAT-01"}) || plan[0].Expected <= 0 {
		t.Errorf("the plan is %+v", plan)
	}
	if all[0].Left <= 0 || all[len(all)-1].Left != 0 {
		t.Errorf("%v left at the beginning, %v at the end", all[0].Left, all[len(all)-1].Left)
	}
}

func TestWhoeverWatchesIsToldOfVoidedAttempts(t *testing.T) {
	noise = 1
	var voided []spec.Event
	for _, ev := range watched(t, "noisy") {
		if ev.Kind == spec.AttemptVoided {
			voided = append(voided, ev)
		}
	}
	if len(voided) != 1 || voided[0].Attempt != 1 || len(voided[0].Results) != 1 || voided[0].Results[0].Reason != reports.ReasonGenerator {
		t.Errorf("told of %+v", voided)
	}
}

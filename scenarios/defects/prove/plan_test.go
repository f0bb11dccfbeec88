package main

import (
	"slices"
	"testing"

	"plumbline/scenarios/defects"
)

func names(s stage) (all []string) {
	for _, j := range s.jobs {
		all = append(all, j.id+j.how)
	}
	return all
}

// What is without a defect comes first, once for each condition; what measures
// time runs alone.
func TestThePlanPutsTrialsWithoutADefectFirst(t *testing.T) {
	p := &prover{options: options{parallel: 3, seed: 7}}
	stages := p.plan([]string{"F01", "F02", "F44", "F22", "F25c", "F55", "none", "C-latency", "C-gap"})
	want := [][]string{{"none"}, {"F01sober"}, {"F01", "F02", "F44", "C-gap"}, {"F22sober"}, {"F22", "F25c", "F55", "C-latency"}}
	for i, s := range stages {
		if !slices.Equal(names(s), want[i]) || (i != 1 && i != 2 && s.places != 1) {
			t.Errorf("stage %d with %d places: %v, want %v", i, s.places, names(s), want[i])
		}
	}
	if got := names(p.plan([]string{"F44"})[1]); !slices.Equal(got, []string{"F44sober"}) {
		t.Errorf("without the control none nothing stands beside F44 but %v", got)
	}
}

func TestDefectsAreHeldAgainstWhatTheSameTrialSaidWithoutThem(t *testing.T) {
	v := verdicts{}
	v.settle(job{id: "none"}, defects.Outcome{Verdicts: map[string]string{"SEC-03": "PASS", "DEL-01": "PASS"}})
	v.settle(job{id: "F01", how: sober}, defects.Outcome{Verdicts: map[string]string{"DEL-01": "INCONCLUSIVE"}})
	for id, want := range map[string]defects.Status{"F01": defects.Unproven, "F44": defects.Killed, "F42": defects.Killed} {
		d, _ := defects.Find(id)
		if got := v.settle(job{id: id}, defects.Outcome{ID: id, Kills: d.Kills, Status: defects.Killed}); got.Status != want {
			t.Errorf("%s: %s, want %s", id, got.Status, want)
		}
	}
}

package spec

import (
	"time"

	"plumbline/reports"
)

// EventKind says what a progress Event tells.
type EventKind string

// The kinds of progress.
const (
	RunBegan         EventKind = "run-began"         // Total is how many scenarios will run
	ScenarioBegan    EventKind = "scenario-began"    // Index of Total
	StepBegan        EventKind = "step-began"        // Step
	ScenarioFinished EventKind = "scenario-finished" // Results, Verdict, Headline, Elapsed
)

// Event is a piece of progress for whoever watches the run.
type Event struct {
	Kind     EventKind
	Scenario string
	Title    string
	Step     string
	Index    int // from 1
	Total    int
	Verdict  reports.Verdict  // worst of the Results that stand
	Headline string           // of the result that decided
	Results  []reports.Result // of all attempts, in the order in which they were judged
	Elapsed  time.Duration
}

// worst returns the result that decides, ignoring optional requirements
// unless there is nothing else.
func worst(results []reports.Result) reports.Result {
	var deciding reports.Result
	found := false
	for _, optional := range []bool{false, true} {
		for _, r := range results {
			known, _ := Requirement(r.Requirement)
			if (known.Requirement.Class == reports.Optional) != optional {
				continue
			}
			if !found || reports.Worst(deciding.Verdict, r.Verdict) != deciding.Verdict {
				deciding, found = r, true
			}
		}
		if found {
			return deciding
		}
	}
	return deciding
}

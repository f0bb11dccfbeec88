package spec

import (
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

// EventKind says what a progress Event tells.
type EventKind string

// The kinds of progress.
const (
	RunBegan         EventKind = "run-began"         // Total is how many scenarios will run, Plan which
	ScenarioBegan    EventKind = "scenario-began"    // Index of Total
	StepBegan        EventKind = "step-began"        // Step
	FaultBegan       EventKind = "fault-began"       // Fault
	FaultEnded       EventKind = "fault-ended"       // Fault
	FiguresTaken     EventKind = "figures"           // Figures
	AttemptVoided    EventKind = "attempt-voided"    // Attempt, Results: it is repeated
	ScenarioFinished EventKind = "scenario-finished" // Results, Verdict, Headline, Elapsed
)

// Event is a piece of progress for whoever watches the run.
type Event struct {
	Kind     EventKind
	At       time.Time     // when it happened
	Left     time.Duration // of the run, as an estimate
	Scenario string
	Title    string
	Step     string
	Index    int // from 1
	Total    int
	Verdict  reports.Verdict  // worst of the Results that stand
	Headline string           // of the result that decided
	Results  []reports.Result // of all attempts, in the order in which they were judged
	Elapsed  time.Duration
	Attempt  int // from 1
	Plan     []events.Planned
	Fault    *events.Fault
	Figures  *events.Figures
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

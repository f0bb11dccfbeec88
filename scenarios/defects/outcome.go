package defects

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"plumbline/reports"
)

// Status is what became of a trial.
type Status string

// The statuses. Only Killed and Green are good; all others count as missed.
const (
	Killed       Status = "killed"       // the named requirement said FAIL, and PASS or the like without the defect under the same conditions
	Unproven     Status = "unproven"     // it said FAIL, and without the defect nothing that clears the bridge: nobody knows what it found
	Survived     Status = "survived"     // it said something else that is a statement
	NeverFired   Status = "never fired"  // the defect did not show itself: nothing was tested
	Inconclusive Status = "inconclusive" // the named requirement made no statement
	Broken       Status = "error"        // the trial itself went wrong
	Green        Status = "green"        // a control: every requirement in question said PASS
	FalseFail    Status = "false FAIL"   // a control: something said FAIL
)

// Outcome is one trial.
type Outcome struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Kills    string            `json:"kills,omitempty"`
	Scenario string            `json:"scenario"`
	Param    string            `json:"param,omitempty"`
	Under    string            `json:"under"` // what it was tried under, as the table had it; see Condition
	Status   Status            `json:"status"`
	Fired    uint64            `json:"fired"`
	Without  string            `json:"without,omitempty"` // what the named requirement says under the same conditions without the defect
	Verdicts map[string]string `json:"verdicts"`          // by requirement: one row of the matrix
	Why      string            `json:"why,omitempty"`
	Seconds  float64           `json:"seconds"`
	Date     string            `json:"date"`             // UTC
	Commit   string            `json:"commit,omitempty"` // that was tried; "" when nobody knows
}

// Untried returns the outcome of a defect or a control whose trial could not be
// run, and why.
func Untried(id, why string) Outcome {
	out := Outcome{ID: id}
	if d, ok := Find(id); ok {
		out = d.outcome()
	}
	if c, ok := FindControl(id); ok {
		out = c.outcome()
	}
	out.Status, out.Why, out.Date = Broken, why, time.Now().UTC().Format(time.DateOnly)
	return out
}

// outcome is that of a trial of the defect before it was run.
func (d Defect) outcome() Outcome {
	return Outcome{ID: d.ID, Title: d.Title, Kills: d.Kills, Scenario: d.Scenario, Param: d.Param, Under: d.Condition()}
}

// outcome is that of a trial of the control before it was run.
func (c Control) outcome() Outcome {
	return Outcome{ID: c.ID, Title: c.Title, Scenario: strings.Join(c.Scenario, " "), Param: c.Param, Under: fmt.Sprintf("loads %v, in question %v", c.Loads, c.Green)}
}

// Same reports whether two trials were of one form of their defect or control:
// the same fault in the same size, asked of the same requirement under the same
// load and limits.
func (o Outcome) Same(other Outcome) bool {
	return o.ID == other.ID && o.Title == other.Title && o.Kills == other.Kills && o.Scenario == other.Scenario && o.Param == other.Param && o.Under == other.Under
}

// Good reports whether the trial came out as it must.
func (o Outcome) Good() bool { return o.Status == Killed || o.Status == Green }

// Against returns the outcome of a defect with what its requirement said under
// the same conditions without it: a FAIL that would have come anyhow is no kill.
func (o Outcome) Against(without string) Outcome {
	o.Without = without
	if o.Status == Killed && without != reports.Pass.String() && without != withinLimit {
		o.Status, o.Why = Unproven, fmt.Sprintf("%s; without the defect: %s", o.Why, cmp.Or(without, "nothing"))
	}
	return o
}

// withinLimit stands for a quantile of which a trial has too few samples for a
// PASS, when not one of those that it has was above the limit.
const withinLimit = "none above"

// soberly returns what a judgement without a defect comes to.
func soberly(j reports.Judgement) string {
	if j.Verdict == reports.Inconclusive && j.Reason == reports.ReasonSamples {
		if m := j.Deciding.Measurement; m != nil && m.Quantile > 0 && m.N > 0 && m.ExceedFail == 0 {
			return withinLimit
		}
	}
	return j.Verdict.String()
}

// statusOf says what the judgement of the named requirement makes of a defect
// that showed itself so often.
func statusOf(j reports.Judgement, fired uint64) (status Status, why string) {
	switch {
	case j.Deciding == nil || j.Verdict == reports.NotRun || j.Verdict == reports.NotApplicable || j.Verdict == reports.Inconclusive:
		status = Inconclusive
	case j.Verdict == reports.Error:
		status = Broken
	case fired == 0:
		status = NeverFired
	case j.Verdict == reports.Fail:
		return Killed, j.Deciding.Headline
	default:
		status = Survived
	}
	return status, sentence(j)
}

// sentence is what a judgement says in full.
func sentence(j reports.Judgement) string {
	if j.Deciding == nil {
		return j.Requirement.ID + ": " + j.Verdict.String()
	}
	return j.Deciding.Sentence
}

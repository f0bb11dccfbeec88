package defects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/render"
)

// Programs names the executables of a trial.
type Programs struct {
	Flawed  string
	Bridged string
}

// Status is what became of a trial.
type Status string

// The statuses. Only Killed and Green are good; all others count as missed.
const (
	Killed       Status = "killed"       // the named requirement said FAIL
	Survived     Status = "survived"     // it said something else that is a statement
	NeverFired   Status = "never fired"  // the defect did not show itself: nothing was tested
	Inconclusive Status = "inconclusive" // the named requirement made no statement
	Broken       Status = "error"        // the trial itself went wrong
	Green        Status = "green"        // a control: nothing said FAIL
	FalseFail    Status = "false FAIL"   // a control: something did
)

// Outcome is one trial.
type Outcome struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Kills    string            `json:"kills,omitempty"`
	Scenario string            `json:"scenario"`
	Param    string            `json:"param,omitempty"`
	Status   Status            `json:"status"`
	Fired    uint64            `json:"fired"`
	Verdicts map[string]string `json:"verdicts"` // by requirement: one row of the matrix
	Why      string            `json:"why,omitempty"`
	Seconds  float64           `json:"seconds"`
	Date     string            `json:"date"` // UTC
}

// Good reports whether the trial came out as it must.
func (o Outcome) Good() bool { return o.Status == Killed || o.Status == Green }

// Try runs the scenario of a defect against it. dir must be empty; the records
// stay there. The error is of the trial itself.
func Try(ctx context.Context, with Programs, d Defect, dir string, seed uint64) (Outcome, error) {
	out := Outcome{ID: d.ID, Title: d.Title, Kills: d.Kills, Scenario: d.Scenario, Param: d.Param}
	run, err := trial(ctx, with, &out, run{
		id: d.ID, param: d.Param, filter: d.Scenario, dir: dir, seed: seed, loads: d.Loads, limits: d.Limits, rs256: d.RS256,
	})
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	for _, j := range run.Judgements() {
		if j.Requirement.ID != d.Kills {
			continue
		}
		if j.Deciding != nil {
			out.Why = j.Deciding.Headline
		}
		switch {
		case j.Verdict == reports.Inconclusive || j.Verdict == reports.NotRun || j.Verdict == reports.NotApplicable:
			out.Status = Inconclusive
		case j.Verdict == reports.Error:
			out.Status = Broken
		case out.Fired == 0:
			out.Status = NeverFired
		case j.Verdict == reports.Fail:
			out.Status = Killed
		default:
			out.Status = Survived
		}
		if j.Verdict != reports.Fail && j.Deciding != nil {
			out.Why = j.Deciding.Sentence
		}
	}
	if out.Status == "" {
		out.Status, out.Why = Broken, "the run does not list requirement "+d.Kills
	}
	return out, nil
}

// Hold runs a control. dir must be empty.
func Hold(ctx context.Context, with Programs, c Control, dir string, seed uint64) (Outcome, error) {
	out := Outcome{ID: c.ID, Title: c.Title, Scenario: strings.Join(c.Scenario, " "), Param: c.Param}
	run, err := trial(ctx, with, &out, run{
		id: c.ID, param: c.Param, filter: strings.Join(c.Scenario, " || "), dir: dir, seed: seed, loads: c.Loads,
	})
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	out.Status = Green
	if c.ID != "none" && out.Fired == 0 {
		out.Status = NeverFired
	}
	var red, open []string
	for _, j := range run.Judgements() {
		if len(c.Green) > 0 && !contains(c.Green, j.Requirement.ID) {
			continue
		}
		switch j.Verdict {
		case reports.Fail, reports.ConditionalFail, reports.Error:
			red = append(red, j.Requirement.ID+": "+j.Deciding.Sentence)
		case reports.Inconclusive, reports.ConditionalPass:
			open = append(open, j.Requirement.ID+": "+j.Deciding.Sentence)
		}
	}
	switch {
	case len(red) > 0:
		out.Status, out.Why = FalseFail, strings.Join(red, " | ")
	case len(open) > 0 && out.Status == Green:
		// The machine was too busy for a statement: neither green nor a false FAIL.
		out.Status, out.Why = Inconclusive, strings.Join(open, " | ")
	}
	return out, nil
}

func contains(list []string, one string) bool {
	for _, s := range list {
		if s == one {
			return true
		}
	}
	return false
}

// run is what a trial runs.
type run struct {
	id, param, filter string
	dir               string
	seed              uint64
	loads             map[string]map[string]any
	limits            map[string]string
	rs256             bool
}

// trial runs scenarios against flawed and fills in what is alike for all.
func trial(ctx context.Context, with Programs, out *Outcome, r run) (*reports.Run, error) {
	began := time.Now()
	out.Date = began.UTC().Format(time.DateOnly)
	defer func() { out.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds() }()
	p, err := profileOf(r.loads, r.limits)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil { //nolint:gosec // reports are there to be read by others
		return nil, fmt.Errorf("defects: %w", err)
	}
	counter, err := filepath.Abs(filepath.Join(r.dir, "fired"))
	if err != nil {
		return nil, fmt.Errorf("defects: %w", err)
	}
	d := descriptor(with, r, counter)
	result, err := spec.Execute(ctx, spec.Options{
		Profile: p, SUT: sut.Options{Binary: with.Bridged, Descriptor: d}, LabelFilter: r.filter, Dir: r.dir, ID: r.id, Seed: r.seed,
		Tool: reports.Tool{Name: "prove"},
	})
	if result == nil {
		return nil, errors.Join(err, errors.New("defects: nothing was judged"))
	}
	if err := render.All(r.dir, result); err != nil {
		return nil, err
	}
	if out.Fired, err = fired(counter); err != nil {
		return nil, err
	}
	out.Verdicts = map[string]string{}
	for _, j := range result.Judgements() {
		if j.Verdict != reports.NotRun && j.Verdict != reports.NotApplicable {
			out.Verdicts[j.Requirement.ID] = j.Verdict.String()
		}
	}
	return result, nil
}

// descriptor is bridged behind flawed.
func descriptor(with Programs, r run, counter string) *sut.Descriptor {
	front := []string{with.Flawed, "--defect", r.id, "--param", r.param, "--seed", strconv.FormatUint(r.seed, 10), "--counter", counter}
	if r.rs256 {
		front = append(front, "--rsa", "{{dir}}/viewers.pem")
	}
	d := sut.Fronted(front...)
	d.Name = "bridged behind flawed: " + r.id
	d.Description = "the bridge of this repository behind a relay with one seeded defect"
	if r.rs256 {
		d.Auth.JWT.Alg, d.Auth.JWT.PrivateKeyFile = "RS256", "{{dir}}/viewers.pem"
	}
	return d
}

// fired reads how often the defect showed itself; 0 when it was never started.
func fired(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("defects: counter: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("defects: counter: %w", err)
	}
	return n, nil
}

package spec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"

	"plumbline/harness"
	"plumbline/reports"
)

// session is one scenario with all its attempts. It belongs to the goroutine
// of the spec.
type session struct {
	emitter  *emitter
	scenario Scenario
	started  time.Time

	trial   *Trial // of the attempt at work
	voided  bool   // a validity gate voided the last attempt
	outcome Outcome
}

// begin starts an attempt.
func (s *session) begin(n int) {
	s.trial = &Trial{Rig: s.emitter.rig, Scenario: s.scenario, emit: s.emitter, started: time.Now(), attempt: n}
	s.emitter.current.Store(s.trial)
}

// take settles the attempt at work and adds it to the outcome. Results are
// those of all attempts, everything else is that of the last.
func (s *session) take(ctx context.Context, panicked any) {
	s.trial.close()
	out := s.trial.finish(ctx, panicked)
	gate := voiding(out.Results)
	s.voided = gate != "" && s.trial.noBench == nil
	if s.voided {
		void(out.Results, gate)
	}
	out.Results = append(s.outcome.Results, out.Results...)
	s.outcome = out
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	if s.trial.unavailable != nil && !s.trial.opened {
		s.emitter.down = s.trial.unavailable
	}
	s.emitter.full = s.emitter.full || errors.Is(s.trial.noBench, harness.ErrSpace)
}

// voiding returns the validity gate that voided an attempt, "" for none.
func voiding(results []reports.Result) reports.Reason {
	for _, r := range results {
		if r.Verdict == reports.Inconclusive && r.Reason.Voids() {
			return r.Reason
		}
	}
	return ""
}

// void marks what a voided attempt left undecided for want of samples: those
// that it had are void as well, so that a repetition takes its place.
func void(results []reports.Result, gate reports.Reason) {
	for i := range results {
		if r := &results[i]; r.Verdict == reports.Inconclusive && r.Reason == reports.ReasonSamples {
			r.Reason = gate
			r.Sentence += fmt.Sprintf(" The attempt as a whole was voided by gate %s.", gate)
		}
	}
}

// settle attaches the outcome and gives the spec its colour.
func (s *session) settle(panicked any) {
	text, err := s.outcome.encode()
	if err != nil {
		text = s.unwritable(err)
	}
	ginkgo.AddReportEntry(entryName, text, ginkgo.ReportEntryVisibilityNever)
	standing := standing(s.outcome.Results)
	deciding := worst(standing)
	s.emitter.progress(Event{
		Kind: ScenarioFinished, Scenario: s.scenario.ID, Title: s.scenario.Title, Verdict: deciding.Verdict,
		Headline: deciding.Headline, Results: standing, Elapsed: time.Since(s.started),
		Index: int(s.emitter.begun.Load()), Total: int(s.emitter.total.Load()),
	})
	bad := s.emitter.unwanted(standing)
	s.trial.mu.Lock()
	if s.trial.failure != "" {
		bad = append(bad, s.trial.failure)
	}
	s.trial.mu.Unlock()
	if panicked == nil && len(bad) > 0 {
		ginkgo.Fail(strings.Join(bad, "\n"))
	}
}

// standing leaves out what a later attempt took the place of.
func standing(results []reports.Result) []reports.Result {
	run := reports.Run{Results: results}
	var out []reports.Result
	for _, j := range run.Judgements() {
		for _, r := range j.Standing {
			out = append(out, *r)
		}
	}
	return out
}

// unwritable is the outcome of a scenario whose figures cannot be written.
func (s *session) unwritable(err error) string {
	out := Outcome{Scenario: s.scenario.ID}
	for _, id := range s.scenario.Requirements {
		out.Results = append(out.Results, s.trial.complete(reports.Result{
			Requirement: id, Verdict: reports.Error, Headline: err.Error(), Sentence: statement(id, reports.Error, "", err.Error()),
		}))
	}
	text, err := out.encode()
	if err != nil {
		return "" // then no outcome is found and the composer says ERROR
	}
	return text
}

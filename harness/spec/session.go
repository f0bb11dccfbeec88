package spec

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"

	"plumbline/reports"
)

// session is one scenario with all its attempts. It belongs to the goroutine
// of the spec.
type session struct {
	emitter  *emitter
	scenario Scenario
	started  time.Time

	trial   *Trial // of the attempt at work
	outcome Outcome
}

// begin starts an attempt.
func (s *session) begin(n int) {
	s.trial = &Trial{Rig: s.emitter.rig, Scenario: s.scenario, emit: s.emitter, started: time.Now(), number: n}
	s.emitter.current.Store(s.trial)
}

// take keeps and judges the attempt at work and adds it to the outcome.
func (s *session) take(ctx context.Context, whole bool, panicked any) {
	s.trial.close()
	s.emitter.tell.leave()
	a := s.trial.attempt(ctx, whole, panicked)
	s.outcome = s.outcome.then(s.emitter.court.settle(s.scenario, a))
	s.emitter.mu.Lock()
	defer s.emitter.mu.Unlock()
	if a.Ending.Unavailable != "" && !a.Ending.Refused && len(a.Benches) == 0 {
		s.emitter.down = a.Ending.Unavailable
	}
	s.emitter.full = s.emitter.full || s.outcome.NoSpace
}

// settle attaches the outcome and gives the spec its colour.
func (s *session) settle(panicked any) {
	text, err := s.outcome.encode()
	if err != nil {
		text = "" // then no outcome is found and the composer says ERROR
	}
	ginkgo.AddReportEntry(entryName, text, ginkgo.ReportEntryVisibilityNever)
	standing := standing(s.outcome.Results)
	deciding := worst(standing)
	s.emitter.progress(Event{
		Kind: ScenarioFinished, Scenario: s.scenario.ID, Title: s.scenario.Title, Verdict: deciding.Verdict,
		Headline: deciding.Headline, Results: s.outcome.Results, Elapsed: time.Since(s.started),
		Index: int(s.emitter.begun.Load()), Total: int(s.emitter.total.Load()),
	})
	bad := s.emitter.unwanted(standing)
	if s.outcome.failure != "" {
		bad = append(bad, s.outcome.failure)
	}
	if panicked == nil && len(bad) > 0 {
		ginkgo.Fail(strings.Join(bad, "\n"))
	}
}

// ofAttempt returns the results of one attempt.
func ofAttempt(results []reports.Result, n int) []reports.Result {
	return slices.DeleteFunc(slices.Clone(results), func(r reports.Result) bool { return r.Attempt != n })
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

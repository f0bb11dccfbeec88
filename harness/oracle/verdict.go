package oracle

import (
	"fmt"
	"math"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// JudgeZero applies the zero-event rule: one confirmed event is FAIL, whatever
// the gates say; only unconfirmed ones are INCONCLUSIVE(ENV); none in enough
// messages is PASS with the bound on their probability.
func JudgeZero(req reports.Requirement, in ZeroInput) reports.Result {
	in = in.withDefaults(req)
	bound := stats.ZeroEvent(in.N, in.Events, in.Confidence)
	r := reports.Result{
		Requirement: req.ID, Scenario: in.Scenario, Started: in.Started, Duration: in.Duration, Attempt: 1,
		Findings: owned(in.Findings, req.ID),
		Headline: fmt.Sprintf("%s %s in %s %s", count(in.Events), noun(in.Noun, in.Events), count(in.N), in.Unit),
		Measurement: &reports.Measurement{
			Name: req.Measurand, Unit: "1", Estimate: share(in.Events, in.N), Lower: nan, Upper: reports.Float(bound.Upper),
			Confidence: in.Confidence, Limit: 0, N: in.N, NEff: in.N, VIF: 1, Events: in.Events,
		},
	}
	opening := head(req.ID, in.Profile) + ": "
	seen := fmt.Sprintf("%s %s in n = %s %s", count(in.Events), noun(in.Noun, in.Events), count(in.N), in.Unit)
	gate := in.gate()
	switch {
	case in.Events > 0:
		r.Verdict = reports.Fail
		r.Sentence = opening + fmt.Sprintf("%s confirmed %s in n = %s %s; first: %s; reproduction seed %d. Verdict FAIL.",
			count(in.Events), noun("violation/violations", in.Events), count(in.N), in.Unit, firstConfirmed(in.Findings), in.Seed)
	case gate != nil:
		r.Verdict, r.Reason = reports.Inconclusive, gate.Reason
		r.Sentence = opening + inconclusive(*gate)
	default:
		r.Verdict = reports.Pass
		r.Sentence = opening + fmt.Sprintf("%s; %s upper bound %s per message under the stated conditions. This does not state that %s is impossible. Verdict PASS.",
			seen, percent(in.Confidence), power(bound.Upper), noun(in.Noun, 1))
	}
	return r
}

func (in ZeroInput) withDefaults(req reports.Requirement) ZeroInput {
	if in.Confidence == 0 {
		in.Confidence = stats.ZeroConfidence
	}
	if in.MinN == 0 {
		in.MinN = req.MinSamples
	}
	if in.Noun == "" {
		in.Noun = "violation/violations"
	}
	if in.Unit == "" {
		in.Unit = "messages"
	}
	confirmed, rest := split(in.Findings)
	in.Events = max(in.Events, confirmed)
	in.Suspicions = max(in.Suspicions, rest)
	return in
}

// gate returns why no PASS can be given, nil when one can.
func (in ZeroInput) gate() *stats.Gate {
	switch {
	case len(in.Gates) > 0:
		return &in.Gates[0]
	case in.Suspicions > 0:
		return &stats.Gate{
			Reason: reports.ReasonEnvironment,
			Detail: fmt.Sprintf("%s unconfirmed %s: already so at the broker, or never confirmed by it", count(in.Suspicions), noun(in.Noun, in.Suspicions)),
			Cure:   "a broker that confirms, and a witness beside it",
		}
	case in.N < max(in.MinN, 1):
		return &stats.Gate{
			Reason: reports.ReasonSamples,
			Detail: fmt.Sprintf("%s %s, the requirement asks for %s", count(in.N), in.Unit, count(max(in.MinN, 1))),
			Cure:   "a longer run",
		}
	}
	return nil
}

// JudgeDeterministic judges a guarantee that one confirmed counter-example
// refutes. Checks that never took place pass nothing.
func JudgeDeterministic(req reports.Requirement, in DeterministicInput) reports.Result {
	if in.MinN == 0 {
		in.MinN = req.MinSamples
	}
	confirmed, suspicions := split(in.Findings)
	if in.overLimit() {
		confirmed++
	}
	r := reports.Result{
		Requirement: req.ID, Scenario: in.Scenario, Started: in.Started, Duration: in.Duration, Attempt: 1,
		Findings: owned(in.Findings, req.ID), Measurement: in.Figure,
		Headline: fmt.Sprintf("%s %s in %s checks", count(confirmed), noun("violation/violations", confirmed), count(in.Checks)),
	}
	figures := ""
	if m := in.Figure; m != nil {
		figures = fmt.Sprintf(" %s: %s, limit %s.", m.Name, withUnit(float64(m.Estimate), m.Unit), withUnit(float64(m.Limit), m.Unit))
		if in.overLimit() || confirmed == 0 { // else the figure is not what failed
			r.Headline = fmt.Sprintf("%s, limit %s", withUnit(float64(m.Estimate), m.Unit), withUnit(float64(m.Limit), m.Unit))
		}
	}
	opening := head(req.ID, in.Profile) + ": "
	gate := in.gate(suspicions)
	switch {
	case confirmed > 0:
		r.Verdict = reports.Fail
		if f := firstOfConfirmed(in.Findings); f != nil && !in.overLimit() {
			r.Headline += fmt.Sprintf("; first: %s (%s)", f.Kind, f.Subject)
		}
		r.Sentence = opening + fmt.Sprintf("%s confirmed %s in %s; reproduction seed %d.%s First: %s. Verdict FAIL.",
			count(confirmed), noun("violation/violations", confirmed), count(max(in.Checks, confirmed)), in.Seed, figures, firstConfirmed(in.Findings))
	case gate != nil:
		r.Verdict, r.Reason = reports.Inconclusive, gate.Reason
		r.Sentence = opening + inconclusive(*gate)
	default:
		r.Verdict = reports.Pass
		r.Sentence = opening + fmt.Sprintf("0 violations in %s checks.%s Verdict PASS.", count(in.Checks), figures)
	}
	return r
}

func (in DeterministicInput) overLimit() bool {
	return in.Figure != nil && float64(in.Figure.Estimate)-in.Figure.Guard > float64(in.Figure.Limit)
}

func (in DeterministicInput) gate(suspicions int64) *stats.Gate {
	switch {
	case len(in.Gates) > 0:
		return &in.Gates[0]
	case suspicions > 0:
		return &stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "an environment without that fault",
			Detail: fmt.Sprintf("%s unconfirmed %s: seen before the system under test", count(suspicions), noun("violation/violations", suspicions)),
		}
	case in.Checks < max(in.MinN, 1):
		return &stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a run that exercises the guarantee",
			Detail: fmt.Sprintf("exercised %s times, %s are needed", count(in.Checks), count(max(in.MinN, 1))),
		}
	case in.Figure != nil && (math.IsNaN(float64(in.Figure.Estimate)) || math.IsNaN(float64(in.Figure.Limit))):
		return &stats.Gate{Reason: reports.ReasonSamples, Detail: "the figure could not be established", Cure: "a longer run"}
	case in.Figure != nil && float64(in.Figure.Estimate)+in.Figure.Guard > float64(in.Figure.Limit):
		return &stats.Gate{
			Reason: reports.ReasonClock, Cure: "a shorter or quieter way between harness and agent",
			Detail: fmt.Sprintf("%s of %s is nearer to the limit of %s than the clocks of the agents are known (±%s)", in.Figure.Name,
				withUnit(float64(in.Figure.Estimate), in.Figure.Unit), withUnit(float64(in.Figure.Limit), in.Figure.Unit), withUnit(in.Figure.Guard, in.Figure.Unit)),
		}
	}
	return nil
}

func inconclusive(g stats.Gate) string {
	return fmt.Sprintf("INCONCLUSIVE(%s): no statement about conformity; reason: %s; what would cure it: %s.", g.Reason, g.Detail, g.Cure)
}

// split counts confirmed and other findings.
func split(found []reports.Finding) (confirmed, rest int64) {
	for _, f := range found {
		if f.Confirmed {
			confirmed++
		} else {
			rest++
		}
	}
	return confirmed, rest
}

func firstOfConfirmed(found []reports.Finding) *reports.Finding {
	for i := range found {
		if found[i].Confirmed {
			return &found[i]
		}
	}
	return nil
}

func firstConfirmed(found []reports.Finding) string {
	if f := firstOfConfirmed(found); f != nil {
		return fmt.Sprintf("%s, %s (%s)", f.Kind, f.Detail, f.Subject)
	}
	return "see the figure"
}

// owned returns the findings under the id of the requirement they decide.
func owned(found []reports.Finding, id string) []reports.Finding {
	list := make([]reports.Finding, len(found))
	for i, f := range found {
		f.Requirement = id
		list[i] = f
	}
	return list
}

func share(events, n int64) reports.Float {
	if n <= 0 {
		return nan
	}
	return reports.Float(float64(events) / float64(n))
}

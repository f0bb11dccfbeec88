package scenarios

import (
	"context"
	"fmt"
	"slices"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
)

// tails returns the requirements on late messages, of those that the profile asks
// for.
func tails(p *profile.Profile) []string { return asked(p, "LAT-02", "LAT-03") }

// lossy is the sequential test of losses: one in a hundred thousand would be
// good, one in a thousand bad (metrology 2.5).
var lossy = stats.Sequential{P0: 1e-5, P1: 1e-3}

// noMoreRuns reports whether the runs so far will do. extra says that the runs
// which the profile asks for are done: further ones are for want of samples only.
// Before that only a profile that certifies nothing may end, when it has become
// clear what would come out. No verdict is taken here: whatever was recorded is
// judged by the same rules.
func noMoreRuns(ctx context.Context, t *spec.Trial, b *harness.Bench, extra bool) (bool, error) {
	p := t.Rig.Profile()
	if !extra && p.Certifies {
		return false, nil
	}
	h, err := b.Peek(ctx)
	if err != nil {
		return false, err
	}
	short := shortOf(h, b.Options(""), p)
	if !extra {
		clear := foreseen(h, b.Options(""), p)
		over := clear == stats.Bad || (clear == stats.Good && short == nil)
		if over {
			t.Step("end early: after these runs it is clear what would come out")
		}
		return over, nil
	}
	if short != nil {
		t.Step("%s: one more run", short)
	}
	return short == nil, nil
}

// want is a requirement whose samples do not suffice yet.
type want struct {
	id string
	stats.Short
}

// String says how many samples there are and how many it takes.
func (w *want) String() string {
	return fmt.Sprintf("%d effective samples in %d blocks so far, %s asks for %d", w.Effective, w.Blocks, w.id, w.Asked)
}

// quantiles returns the requirements on latency under steady load that the
// profile asks for. The median can be the last to have enough samples: a shift
// that the tails do not notice moves all of it.
func quantiles(p *profile.Profile) []string {
	return asked(p, "LAT-01", "LAT-02", "LAT-03", "LAT-04")
}

// asked returns those of the requirements for which the profile has a limit.
func asked(p *profile.Profile, of ...string) (ids []string) {
	for _, id := range of {
		if _, wanted := p.Limits[id]; wanted {
			ids = append(ids, id)
		}
	}
	return ids
}

// shortOf returns a requirement that the samples so far cannot carry, nil when
// there is none. It asks stats.Input.Short, which looks at no verdict, so that
// going on for want of samples is no repeating until it fits.
func shortOf(h *oracle.History, o oracle.Options, p *profile.Profile) *want {
	l := h.Latencies(o)
	for _, id := range quantiles(p) {
		rule := ruleOf(p, p.Limits[id].Samples)
		if id == "LAT-04" {
			rule.PassConfidence = ceilingConfidence
		}
		if short := question(l, p, id, rule).Short(); short != nil {
			return &want{id: id, Short: *short}
		}
	}
	return nil
}

// question is what the rule is asked of a requirement, as far as the amount of
// samples depends on it.
func question(l oracle.Latencies, p *profile.Profile, id string, rule stats.Rule) stats.Input {
	return stats.Input{
		Series: l.Series, Limit: p.Limits[id].Time.Seconds() * 1e3, Quantile: quantileOf(id),
		Guard: (p.Gates.Guard + l.Clocks.Uncertainty).Seconds() * 1e3, Rule: rule,
	}
}

// foreseen returns what Wald's test says of the runs so far: bad when a tail or
// the losses are bad already, good when all are good.
func foreseen(h *oracle.History, o oracle.Options, p *profile.Profile) stats.Clarity {
	d, _ := h.Delivery(o)
	all := []stats.Clarity{lossy.Decide(d.Owed, d.Lost)}
	l := h.Latencies(o)
	series := l.Series
	for _, id := range tails(p) {
		late := int64(0)
		for _, v := range series.Value {
			if v > guarded(p, id, l.Clocks) {
				late++
			}
		}
		all = append(all, stats.Foresee(int64(len(series.Value)), late, quantileOf(id), dependence(l, p, id).VIF))
	}
	switch {
	case slices.Contains(all, stats.Bad):
		return stats.Bad
	case slices.Contains(all, stats.Open):
		return stats.Open
	default:
		return stats.Good
	}
}

// dependence is how far samples hang together at the two thresholds of DR-2.
func dependence(l oracle.Latencies, p *profile.Profile, id string) stats.Dependence {
	values := slices.Sorted(slices.Values(l.Series.Value))
	return l.Series.Measure([]float64{guarded(p, id, l.Clocks), stats.Quantile(values, quantileOf(id))}, ruleOf(p, p.Limits[id].Samples))
}

// guarded is the limit of a time less the uncertainty, in milliseconds.
func guarded(p *profile.Profile, id string, clocks oracle.ClockUse) float64 {
	return (p.Limits[id].Time - p.Gates.Guard - clocks.Uncertainty).Seconds() * 1e3
}

func quantileOf(id string) float64 {
	known, _ := spec.Requirement(id)
	return known.Requirement.Quantile
}

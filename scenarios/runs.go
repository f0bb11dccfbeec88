package scenarios

import (
	"context"
	"slices"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
)

// tails returns the requirements that need the most samples, of those that the
// profile asks for.
func tails(p *profile.Profile) (ids []string) {
	for _, id := range []string{"LAT-02", "LAT-03"} {
		if _, asked := p.Limits[id]; asked {
			ids = append(ids, id)
		}
	}
	return ids
}

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
		t.Step("%d effective samples in %d blocks so far, %s asks for %d: one more run", short.effective, short.blocks, short.id, short.asked)
	}
	return short == nil, nil
}

// want is a requirement whose samples do not suffice yet.
type want struct {
	id               string
	effective, asked int64
	blocks           int
}

// shortOf returns a requirement that the effective samples so far cannot carry,
// nil when there is none. It looks at how far samples hang together and not at
// the verdict, so that going on for want of samples is no repeating until it fits.
func shortOf(h *oracle.History, o oracle.Options, p *profile.Profile) *want {
	l := h.Latencies(o)
	series := l.Series
	for _, id := range tails(p) {
		limit := p.Limits[id]
		d := dependence(l, p, id)
		inflation := d.VIF
		if d.Lengthen { // as the rule does: one more such rise must be survived
			inflation = d.Doubled * d.Doubled / d.VIF
		}
		effective := int64(float64(len(series.Value)) / inflation)
		if !d.Enough || effective < limit.Samples {
			return &want{id: id, effective: effective, asked: limit.Samples, blocks: d.Blocks}
		}
	}
	return nil
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

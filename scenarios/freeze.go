package scenarios

// Self-check of the harness: does it measure a stopped bridge rightly?
//
// Requirement: RIG-01.
//
// Procedure "freeze":
//  1. Start the bridge with one viewer and devices at a constant rate.
//  2. Stop the bridge with SIGSTOP for half of the window and let it go on.
//  3. Arithmetic demands, with a stop of h in a window of 2h and latency from
//     the intended instant: p75 = h/2, p90 = 0.8 h, mean = h/4. A harness that
//     waits for the bridge (coordinated omission) would see next to nothing.

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Self-check of the harness", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "freeze", Title: "measures what arithmetic demands of a bridge stopped for half of the window",
		Requirements: []string{"RIG-01"}, Loads: []string{"freeze"}, Tier: spec.TierCheck,
	}, freeze)
})

func freeze(ctx context.Context, t *spec.Trial) {
	l := t.Load("freeze")
	t.Step("start the bridge with %d viewer and %d devices at a constant %.0f messages/s", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l})
	t.Step("warm up for %s; stop the bridge with SIGSTOP for %s of a window of %s", l.WarmUp, l.Hold, l.Window)
	var from, to int64
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		if err := harness.Wait(ctx, l.WarmUp); err != nil {
			return err
		}
		from = b.Clock.Now()
		to = from + int64(l.Window)
		if err := harness.Wait(ctx, (l.Window-l.Hold)/2); err != nil {
			return err
		}
		if err := fault.Apply(ctx, b.Recorder, fault.Freeze("SIGSTOP of the bridge", b.SUT), l.Hold); err != nil {
			return err
		}
		// A little longer than the window, so that its end is under load too.
		return harness.Wait(ctx, time.Duration(to-b.Clock.Now())+200*time.Millisecond)
	}))
	b.Mark("freeze", from, to)
	t.Step("drain, end everything and compare with arithmetic")
	h, err := b.Finish(ctx)
	t.Check(err)
	j := newJudged(t, b, h)
	j.arithmetic("RIG-01", h.Latencies(j.options("RIG-01")), l.Hold)
	j.show(fmt.Sprintf("t0i→t4, the bridge stopped for %s of %s", l.Hold, l.Window), slotOf(l.WarmUp+l.Window))
}

// arithmetic compares p75, p90 and mean with what a stop of hold in a window
// of twice the length demands.
func (j *judged) arithmetic(id string, l oracle.Latencies, hold time.Duration) {
	values := slices.Sorted(slices.Values(l.Series.Value))
	mean := 0.0
	for _, v := range values {
		mean += v / float64(max(len(values), 1))
	}
	ms := hold.Seconds() * 1e3
	limit := j.trial.Limit(id)
	figure := &reports.Measurement{
		Unit: "%", Limit: reports.Float(100 * limit.Share),
		N: int64(len(values)), NEff: int64(len(values)), VIF: 1, Confidence: 0.99, Lower: nan, Upper: nan, Estimate: nan,
	}
	var seen []string
	for _, want := range []struct {
		name      string
		got, want float64
	}{{"p75", stats.Quantile(values, 0.75), ms / 2}, {"p90", stats.Quantile(values, 0.9), 0.8 * ms}, {"mean", mean, ms / 4}} {
		deviation := 100 * math.Abs(want.got-want.want) / want.want
		seen = append(seen, fmt.Sprintf("%s %.1f ms for %.0f ms", want.name, want.got, want.want))
		if !(float64(figure.Estimate) >= deviation) { // also when it is not set yet
			figure.Estimate = reports.Float(deviation)
		}
	}
	figure.Name = "largest deviation from arithmetic (" + strings.Join(seen, ", ") + ")"
	j.trial.Judge(oracle.JudgeDeterministic(j.trial.Requirement(id), oracle.DeterministicInput{
		Scenario: j.trial.Scenario.ID, Profile: j.title, Checks: 3, Figure: figure, Seed: j.trial.Rig.Seed(),
	}))
}

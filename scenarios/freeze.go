package scenarios

// Self-check of the harness: does it measure a stopped bridge rightly?
//
// Requirement: RIG-01.
//
// Procedure "freeze":
//  1. Start the bridge with one viewer and devices at a constant rate.
//  2. Stop the bridge with SIGSTOP for half of the window and let it go on.
//  3. Arithmetic demands, with a stop of h in a window of 2h and latency from
//     the intended instant: p75 = h/2, p90 = 0.8 h, mean = h/4; for 5 s in 10 s
//     2.5 s, 4.0 s and 1.25 s. A harness that waits for the bridge (coordinated
//     omission) would see next to nothing.

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
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Self-check of the harness", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "freeze", Title: "measures what arithmetic demands of a bridge stopped for half of the window",
		Requirements: []string{"RIG-01"}, Loads: []string{"freeze"}, Tier: spec.TierCheck,
		Drive: driveFreeze, Judge: judgeFreeze,
	})
})

func driveFreeze(ctx context.Context, t *spec.Trial) {
	l := t.Load("freeze")
	t.Step("start the bridge with %d viewer and %d devices at a constant %.0f messages/s", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, Silence: l.Hold + time.Minute}) // a viewer that came back would take the arithmetic with it
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
	t.Check(b.Finish(ctx))
}

func judgeFreeze(c *spec.Case) {
	l, j := c.Load("freeze"), newJudged(c)
	j.arithmetic("RIG-01", j.history.Latencies(j.options("RIG-01")), l.Hold, l.Window)
	j.show(fmt.Sprintf("t0i→t4, the bridge stopped for %s of %s", l.Hold, l.Window), slotOf(l.WarmUp+l.Window))
}

// arithmetic compares p75, p90 and mean with what a stop of hold demands of
// the window.
func (j *judged) arithmetic(id string, l oracle.Latencies, hold, window time.Duration) {
	values := slices.Sorted(slices.Values(l.Series.Value))
	mean := 0.0
	for _, v := range values {
		mean += v / float64(max(len(values), 1))
	}
	stop := hold.Seconds() * 1e3
	share := stop / (window.Seconds() * 1e3)
	limit := j.Limit(id)
	figure := &reports.Measurement{
		Unit: "%", Limit: reports.Float(100 * limit.Share),
		N: int64(len(values)), NEff: int64(len(values)), VIF: 1, Confidence: 0.99, Lower: nan, Upper: nan, Estimate: nan,
	}
	var seen []string
	for _, want := range []struct {
		name      string
		got, want float64
	}{
		{"p75", stats.Quantile(values, 0.75), stop * (1 - 0.25/share)},
		{"p90", stats.Quantile(values, 0.9), stop * (1 - 0.1/share)},
		{"mean", mean, stop * share / 2},
	} {
		deviation := 100 * math.Abs(want.got-want.want) / want.want
		seen = append(seen, fmt.Sprintf("%s %.1f ms for %.1f ms", want.name, want.got, want.want))
		if !(float64(figure.Estimate) >= deviation) { // also when it is not set yet
			figure.Estimate = reports.Float(deviation)
		}
	}
	figure.Name = "largest deviation from arithmetic (" + strings.Join(seen, ", ") + ")"
	gates := j.punctual(hold, time.Duration(limit.Share/4*float64(hold)))
	if len(gates) > 0 {
		figure.Estimate = nan // a figure of another stop than the one planned decides nothing
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: 3, Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// stopped returns how long the first fault of the recording lasted.
func (j *judged) stopped() time.Duration {
	var onset int64
	for _, e := range j.history.Log().Events {
		switch e.Kind {
		case record.FaultOnset:
			onset = e.At
		case record.FaultEnd:
			return time.Duration(e.At - onset)
		}
	}
	return 0
}

// punctual is the gate of a stop that took as long as planned, on a rig that
// was not itself away meanwhile; both to within tolerance.
func (j *judged) punctual(hold, tolerance time.Duration) (open []stats.Gate) {
	if late := j.stopped() - hold; late > tolerance {
		open = append(open, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a quieter machine",
			Detail: fmt.Sprintf("stopping and going on took %s longer than the %s planned", late.Round(time.Millisecond), hold),
		})
	}
	if away := float64(j.health.HiccupMax); away > tolerance.Seconds()*1e3 {
		open = append(open, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a quieter machine",
			Detail: fmt.Sprintf("the rig itself did not run for %.3g ms", away),
		})
	}
	return open
}

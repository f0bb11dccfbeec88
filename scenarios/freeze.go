package scenarios

// Self-check of the harness: does it measure a stopped bridge rightly?
//
// Requirement: RIG-01.
//
// Procedure "freeze":
//  1. Start the bridge with one viewer and devices at a constant rate, with
//     QoS 0: a window of unacknowledged messages, as brokers grant it, would fill
//     in the stop and keep back what is due.
//  2. Stop the bridge with SIGSTOP for half of the window and let it go on.
//  3. Arithmetic demands, with a stop of h in a window of 2h and latency from
//     the intended instant: p75 = h/2, p90 = 0.8 h, mean = h/4; for 5 s in 10 s
//     2.5 s, 4.0 s and 1.25 s. A harness that waits for the bridge (coordinated
//     omission) would see next to nothing. A bridge that does not bring every
//     message over the stop leaves nothing to compare: INCONCLUSIVE(SUT).

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
	"plumbline/harness/profile"
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
	b := t.Open(ctx, freezePlan(l))
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

// freezePlan lets neither the viewer nor the system end their connection for what the stop kept from it: a viewer that came back would
// take the arithmetic with it.
func freezePlan(l profile.Load) harness.Plan {
	return harness.Plan{Load: l, QoS0: true, Silence: l.Hold + time.Minute, KeepAlive: l.Hold.Round(time.Second) + time.Minute}
}

func judgeFreeze(c *spec.Case) {
	l, j := c.Load("freeze"), newJudged(c)
	j.arithmetic("RIG-01", j.history.Latencies(j.options("RIG-01")), l.Hold, l.Window)
	j.show(fmt.Sprintf("t0i→t4, the bridge stopped for %s of %s", l.Hold, l.Window), slotOf(l.WarmUp+l.Window))
}

// arithmetic compares p75, p90 and mean with what a stop of hold demands of
// the window. When they deviate and would not with a system that brought what
// had waited at once, nothing is said of the rig.
func (j *judged) arithmetic(id string, l oracle.Latencies, hold, window time.Duration) {
	limit := j.Limit(id)
	figure := &reports.Measurement{
		Unit: "%", Limit: reports.Float(100 * limit.Share),
		N: int64(len(l.Series.Value)), NEff: int64(len(l.Series.Value)), VIF: 1, Confidence: 0.99, Lower: nan, Upper: nan,
	}
	deviation, seen := deviationOf(l.Series.Value, hold, window)
	figure.Name = "largest deviation from arithmetic (" + strings.Join(seen, ", ") + ")"
	gates := append(j.punctual(hold, time.Duration(limit.Share/4*float64(hold))), carried(l)...)
	if prompt, slowest := atOnce(l, j.stop()); deviation > 100*limit.Share && slowest > 0 {
		if without, _ := deviationOf(prompt, hold, window); without <= 100*limit.Share {
			gates = append(gates, stats.Gate{
				Reason: reports.ReasonSUT, Cure: "a system that goes on at once",
				Detail: fmt.Sprintf("%s; it would be %.3g %% without the up to %s that the system took to bring what had waited", figure.Name, without, slowest.Round(time.Millisecond)),
			})
		}
	}
	figure.Estimate = reports.Float(deviation)
	if len(gates) > 0 {
		figure.Estimate = nan // a figure of another stop than the one planned, or of a part of the messages, decides nothing
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: 3, Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// deviationOf returns by how many percent latencies deviate most from what a stop of hold in a window demands, and what was compared.
func deviationOf(values []float64, hold, window time.Duration) (worst float64, seen []string) {
	values = slices.Sorted(slices.Values(values))
	mean := 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	stop, share := hold.Seconds()*1e3, hold.Seconds()/window.Seconds()
	for _, want := range []struct {
		name      string
		got, want float64
	}{
		{"p75", stats.Quantile(values, 0.75), stop * (1 - 0.25/share)},
		{"p90", stats.Quantile(values, 0.9), stop * (1 - 0.1/share)},
		{"mean", mean, stop * share / 2},
	} {
		seen = append(seen, fmt.Sprintf("%s %.1f ms for %.1f ms", want.name, want.got, want.want))
		deviation := 100 * math.Abs(want.got-want.want) / want.want
		if !(worst >= deviation) { // also when there were no values: then it is no number
			worst = deviation
		}
	}
	return worst, seen
}

// atOnce returns the latencies as they were if what waited over the stop had come the moment it ended, and the longest that any of it took.
func atOnce(l oracle.Latencies, stop stretch) (values []float64, slowest time.Duration) {
	end := stop.From + int64(stop.Took)
	values = slices.Clone(l.Series.Value)
	for i, due := range l.Series.Due {
		waited := float64(end-due) / 1e6
		if due >= stop.From && due < end && values[i] > waited && !math.IsInf(values[i], 1) {
			slowest = max(slowest, time.Duration((values[i]-waited)*1e6))
			values[i] = waited
		}
	}
	return values, slowest
}

// carried is the gate of a system that brought every message over the stop. One that is missing counts as infinitely late, and whether
// it is the system's fault or the rig's is not for arithmetic to tell: no PASS, and no FAIL of the rig.
func carried(l oracle.Latencies) (open []stats.Gate) {
	if l.Lost+l.Blocked > 0 {
		open = append(open, stats.Gate{
			Reason: reports.ReasonSUT, Cure: "a system that brings every message over a stop",
			Detail: fmt.Sprintf("of %d messages %d never arrived and %d could not even be written", len(l.Series.Value), l.Lost, l.Blocked),
		})
	}
	return open
}

// stop returns the first fault of the recording.
func (j *judged) stop() (s stretch) {
	for _, e := range j.history.Log().Events {
		switch e.Kind {
		case record.FaultOnset:
			s.From = e.At
		case record.FaultEnd:
			s.Took = time.Duration(e.At - s.From)
			return s
		}
	}
	return s
}

// punctual is the gate of a stop that took as long as planned, on a rig that
// was not itself away meanwhile; both to within tolerance.
func (j *judged) punctual(hold, tolerance time.Duration) (open []stats.Gate) {
	if late := j.stop().Took - hold; late > tolerance {
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

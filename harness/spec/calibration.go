package spec

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"plumbline/harness/calibrate"
	"plumbline/reports"
)

// Calibration is what the rig added to a latency before and after a run, by the
// reference bridge.
type Calibration struct {
	Before  *calibrate.Record `json:"before,omitempty"`
	After   *calibrate.Record `json:"after,omitempty"`
	Outside string            `json:"outside,omitempty"` // why no latency of the run can be judged; "" for it can
}

// Calibrator measures what the rig adds to a delay, and marks the record when
// the control chart of the rig refuses it.
type Calibrator func(ctx context.Context, delay time.Duration) (*calibrate.Record, error)

// reference is the delay to calibrate at, 0 for no calibration.
func (o Options) reference() time.Duration { return cmp.Or(o.Reference, o.Profile.Gates.Reference) }

// calibrated runs work between two calibrations; it returns nil when none is
// asked for. A calibration that fails is no error: it is a reason to judge no
// latency.
func (o Options) calibrated(ctx context.Context, work func() error) (*Calibration, error) {
	delay := o.reference()
	if delay == 0 {
		return nil, work()
	}
	c := &Calibration{}
	var why []string
	take := func(when string) (r *calibrate.Record) {
		r, err := o.Calibrate(ctx, delay)
		switch {
		case ctx.Err() != nil:
			why = append(why, "the run was interrupted before the calibration "+when+" it was over")
		case err != nil:
			why = append(why, fmt.Sprintf("the calibration %s the run failed: %v", when, err))
		case r.Outside != "":
			why = append(why, fmt.Sprintf("out of control %s the run: %s", when, r.Outside))
		}
		return r
	}
	c.Before = take("before")
	err := work()
	c.After = take("after")
	c.Outside = strings.Join(why, "; ")
	return c, err
}

// missing says why no latency of a run can be judged whose profile names that
// delay.
func (c *Calibration) missing(delay time.Duration) string {
	switch {
	case c == nil && delay == 0:
		return ""
	case c == nil:
		return "the rig was not calibrated"
	case c.Outside == "" && (c.Before == nil || c.After == nil):
		return "the rig was not calibrated before and after the run"
	default:
		return c.Outside
	}
}

// withhold takes back what was said about latencies at a quantile: by a rig that
// is out of control nothing was measured (metrology 1.5).
func withhold(results []reports.Result, why func(reports.Result) string) {
	for i := range results {
		r := &results[i]
		if r.Measurement == nil || r.Measurement.Quantile == 0 {
			continue
		}
		switch r.Verdict {
		case reports.Pass, reports.ConditionalPass, reports.ConditionalFail, reports.Fail:
			if why := why(*r); why != "" {
				r.Verdict, r.Reason = reports.Inconclusive, reports.ReasonRig
				r.Sentence = statement(r.Requirement, r.Verdict, r.Reason, why)
			}
		}
	}
}

// floorHard is the share of a limit that the rig may add at most for anything to
// be said (metrology 0.5), as for the noise floor of each run.
const floorHard = 5

// unfit says why a rig in control, or one without a chart, shows nothing about a
// latency: what it added near the reference is too much for the limit, or a
// lateness may be its own. With the noise floor of the run, the larger one counts.
func (c *Calibration) unfit(r reports.Result) string {
	if c == nil {
		return ""
	}
	m := r.Measurement
	added := max(c.Before.Worst(m.Quantile), c.After.Worst(m.Quantile))
	beyond, limit := added.Seconds()*1e3, float64(m.Limit)
	late := r.Verdict == reports.Fail || r.Verdict == reports.ConditionalFail
	switch {
	case beyond > limit/floorHard:
		return fmt.Sprintf("with the reference bridge the rig itself added %s at this quantile, more than a fifth of the limit of %g ms; a quieter machine or a wider limit would cure it", added, limit)
	case late && beyond > m.Bias && !(float64(m.Lower) > limit+m.Guard+beyond):
		return fmt.Sprintf("with the reference bridge the rig itself added %s at this quantile, and without that the latency may have kept the limit of %g ms; a quieter machine would cure it", added, limit)
	}
	return ""
}

// environment adds the calibration to what is said about the machine.
func (c *Calibration) environment(env map[string]string) {
	if c == nil {
		return
	}
	for when, r := range map[string]*calibrate.Record{"before": c.Before, "after": c.After} {
		if r == nil {
			continue
		}
		for _, l := range r.Levels {
			env["calibration_"+when] = fmt.Sprintf("reference bridge %v: p50 +%v, p99 +%v, p99.9 +%v (n %d)", l.Delay,
				l.P50.Round(time.Microsecond), l.P99.Round(time.Microsecond), l.P999.Round(time.Microsecond), l.N)
		}
	}
}

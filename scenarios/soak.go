package scenarios

// Soak: does memory stay where it was?
//
// Requirement: RES-01.
//
// Procedure "soak":
//  1. Start the bridge with viewers; publish steadily, and let caches fill.
//  2. Look at the memory of all its processes again and again.
//  3. The smallest of each stretch of time is what no collector could free. Judge
//     the slope of those minima by its 99 % bounds (Theil and Sen).
//
// A short soak finds big leaks only: the result says from which size on. Profile
// soak is for the others.

import (
	"context"
	"fmt"
	"math"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

const (
	soakSamples = 60   // of the memory in a window, at least
	soakLeast   = 12   // stretches whose minima are compared, at least
	soakMost    = 60   // and at most
	soakBound   = 0.99 // confidence of each bound of the slope
	soakLooked  = 0.8  // of the window that lies between the first and the last look, at least
	soakLooks   = 50_000
)

var _ = spec.Describe("Soak", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "soak", Title: "takes no more memory the longer it runs",
		Requirements: []string{"RES-01"}, Loads: []string{"soak"}, Apart: harness.OwnProcesses,
		Drive: driveSoak, Judge: judgeSoak,
	})
})

func driveSoak(ctx context.Context, t *spec.Trial) {
	l := t.Load("soak")
	t.Step("start the bridge with %d viewers; publish %.0f messages/s from %d devices for %s", l.Viewers, l.Rate, l.Devices, l.WarmUp)
	sample := soakSample(l.Window)
	b := t.Open(ctx, harness.Plan{Load: l, Sample: sample, Config: smallCache})
	t.Step("go on for %s and look at the memory every %s", l.Window, sample)
	t.Check(b.Window(ctx, "soak", l.WarmUp, l.Window))
	t.Step("drain, end everything and judge the slope of the minima")
	t.Check(b.Finish(ctx))
}

// soakSample returns how far two looks at the memory are apart: a second at most,
// and in windows of many hours so far that the bench keeps them all (100,000).
func soakSample(window time.Duration) time.Duration {
	return max(min(max(window/soakSamples, 50*time.Millisecond), time.Second), window/soakLooks)
}

func judgeSoak(c *spec.Case) {
	l, j := c.Load("soak"), newJudged(c)
	j.level("RES-01")
	j.show("t0i→t4, soak", slotOf(l.WarmUp+l.Window))
}

// level judges that memory did not grow over the window of the recording.
func (j *judged) level(id string) {
	from, to := windowOf(j.history.Log())
	minima, apart, looked := minimaOf(j.usage, from, to)
	perSlot := apart.Seconds()
	slope, low, high := stats.Slope(minima, soakBound)
	slope, low, high = slope/perSlot, low/perSlot, high/perSlot // KiB/s
	limit := float64(j.Limit(id).Count)
	figure := &reports.Measurement{
		Name: fmt.Sprintf("growth of memory (RSS) over %s, 99 %% bounds %s and %s KiB/s; a leak is found from %s KiB/s on",
			looked.Round(time.Second), kibs(low), kibs(high), kibs(limit+max(slope-low, 0))),
		Unit: "KiB/s", Lower: reports.Float(low), Upper: reports.Float(high), Confidence: soakBound, Limit: reports.Float(limit),
		N: int64(len(minima)), NEff: int64(len(minima)), VIF: 1, Estimate: reports.Float(slope),
	}
	gates := j.sound(id)
	switch {
	case len(minima) < soakLeast:
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a longer window",
			Detail: fmt.Sprintf("%d stretches of time have a look at the memory, %d are needed", len(minima), soakLeast),
		})
		figure.Estimate = nan
	case low > limit: // also when it was not looked at for long
		figure.Estimate = reports.Float(low)
	case looked < time.Duration(soakLooked*float64(to-from)):
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a machine that lets its processes be looked at all the time, or a shorter window",
			Detail: fmt.Sprintf("memory was looked at over %s of %s", looked.Round(time.Second), time.Duration(to-from).Round(time.Second)),
		})
		figure.Estimate = nan
	case low <= limit && high > limit: // neither is shown
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a longer window",
			Detail: fmt.Sprintf("memory grew by %s KiB/s, the 99 %% bounds are %s and %s and hold the limit of %s", kibs(slope), kibs(low), kibs(high), kibs(limit)),
		})
		figure.Estimate = nan
	default:
		figure.Estimate = reports.Float(high)
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: int64(len(minima)), MinN: j.samples(id), Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// kibs writes a rate of growth: small ones are what a long soak is for.
func kibs(rate float64) string {
	if math.Abs(rate) < 10 {
		return fmt.Sprintf("%.2f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// windowOf returns the judged window of a recording on the run clock.
func windowOf(log *record.Log) (from, to int64) {
	for _, e := range log.Events {
		switch e.Kind {
		case record.WindowOpen:
			from = e.At
		case record.WindowClose:
			to = e.At
		}
	}
	return from, max(from, to)
}

// minimaOf returns the smallest RSS in KiB of each of as many equal stretches of
// samples as have at least two each, between soakLeast and soakMost; fewer when
// there are too few samples. One stretch begins apart behind the other; the first
// sample and the last are looked apart, which is a sample less than all stretches.
func minimaOf(usage []harness.Usage, from, to int64) (minima []float64, apart, looked time.Duration) {
	var inside []harness.Usage
	for _, u := range usage {
		if u.At >= from && u.At < to {
			inside = append(inside, u)
		}
	}
	n := min(soakMost, len(inside)/2)
	minima = make([]float64, n)
	for i := range minima {
		minima[i] = math.Inf(1)
	}
	for i, u := range inside {
		slot := i * n / len(inside)
		minima[min(slot, n-1)] = min(minima[min(slot, n-1)], float64(u.RSS)/1024)
	}
	if len(inside) > 1 {
		looked = time.Duration(inside[len(inside)-1].At - inside[0].At)
		apart = time.Duration(float64(looked) * float64(len(inside)) / float64(len(inside)-1) / float64(n))
	}
	return minima, apart, looked
}

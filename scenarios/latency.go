package scenarios

// Latency: how late is what a viewer sees?
//
// Requirements: LAT-01, LAT-02, LAT-03, LAT-04, LAT-07, LAT-09 (and, from the same
// load, DEL-01, DEL-05, DEL-06, ORD-01); LAT-08.
//
// Procedure "steady":
//  1. Start the bridge, a witness at its broker and the viewers; connect the devices.
//  2. Per run: warm up, then publish in an open loop, each device with its own
//     phase, dither and micro-bursts. Latency runs from the intended instant.
//  3. Between runs restart the bridge. Further runs, as many as the profile
//     allows, follow while there are too few effective samples. A profile that
//     certifies nothing ends early what Wald's test has made clear.
//  4. Drain, end everything and judge the recording.
//
// Procedure "connect":
//  1. Start the bridge and let devices publish.
//  2. Again and again connect a viewer, wait for its first sample and leave. As
//     many visits follow, as often as the profile allows, while there are too few
//     effective samples.
//  3. Judge the latency of the first sample after each subscription.

import (
	"context"
	"fmt"
	"math"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var nan = reports.Float(math.NaN())

// betweenVisits is how long a visitor stays on, which also keeps visits apart,
// so that one hiccup does not meet many.
const betweenVisits = 20 * time.Millisecond

// patience is how long anything may take that is not itself measured.
const patience = 30 * time.Second

// patient returns how long something is waited for that a limit bounds: longer
// than the limit, else giving up would be taken for a violation.
func patient(limit profile.Limit, least time.Duration) time.Duration {
	return max(2*limit.Time, least)
}

var _ = spec.Describe("Latency", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "steady", Title: "keeps latency, completeness and order under steady load with micro-bursts",
		Requirements: []string{"LAT-01", "LAT-02", "LAT-03", "LAT-04", "LAT-07", "LAT-09", "DEL-01", "DEL-05", "DEL-06", "ORD-01"}, Loads: []string{"steady"}, Apart: harness.OtherHosts,
		Drive: driveSteady, Judge: judgeSteady,
	})
	s.Scenario(spec.Scenario{
		ID: "connect", Title: "serves a viewer that has just connected as fast as the others",
		Requirements: []string{"LAT-08"}, Loads: []string{"connect"},
		Drive: driveConnect, Judge: judgeConnect,
	})
})

func driveSteady(ctx context.Context, t *spec.Trial) {
	l := t.Load("steady")
	t.Step("start the bridge, a witness, %d viewers over TLS and %d devices", l.Viewers, l.Devices)
	b := t.Open(ctx, harness.Plan{Load: l, Floor: true, Config: map[string]any{"drain.spread": "200ms"}})
	var runs []string
	for run := range l.Runs + l.Extend {
		if run > 0 {
			over, err := noMoreRuns(ctx, t, b, run >= l.Runs)
			t.Check(err)
			if over {
				break
			}
			t.Step("let arrive what is on its way, and restart the bridge")
			t.Check(b.Arrived(ctx)) // what a restart loses is judged elsewhere
			t.Check(b.SUT.Restart(ctx))
			_, err = back(ctx, b, patience) // who stays away loses what follows
			t.Check(err)
		}
		t.Step("run %d: warm up for %s, then publish %.0f messages/s for %s in an open loop, every tenth device %d at a time",
			run+1, l.WarmUp, l.Rate, l.Window, l.Burst)
		runs = append(runs, fmt.Sprintf("run-%d", run+1))
		t.Check(b.Window(ctx, runs[run], l.WarmUp, l.Window))
	}
	t.Step("drain, end everything and judge the recording")
	t.Check(b.Finish(ctx))
	t.Keep(steadyFacts{Runs: runs})
}

// steadyFacts names the judged windows, one for each run.
type steadyFacts struct {
	Runs []string `json:"runs"`
}

func judgeSteady(c *spec.Case) {
	l, j, runs := c.Load("steady"), newJudged(c), spec.Facts[steadyFacts](c).Runs
	all := j.history.Latencies(j.options(""))
	for _, id := range []string{"LAT-01", "LAT-02", "LAT-03"} {
		j.latency(id, all, j.rule(j.samples(id)), runs...)
	}
	j.ceiling("LAT-04", all, runs)
	j.fresh("LAT-07", j.samples("LAT-07"))
	j.creeping("LAT-09", runs)
	j.lost("DEL-01", j.samples("DEL-01"))
	j.duplicated("DEL-05", j.samples("DEL-05"))
	j.genuine("DEL-06", j.samples("DEL-06"))
	j.ordered("ORD-01", j.samples("ORD-01"))
	j.show("t0i→t4, steady", slotOf(time.Duration(len(runs))*(l.WarmUp+l.Window)))
}

// slotOf returns the slot of a timeline: about 200 points, at least 100 ms.
func slotOf(whole time.Duration) time.Duration {
	return max(whole/200, 100*time.Millisecond).Round(10 * time.Millisecond)
}

func driveConnect(ctx context.Context, t *spec.Trial) {
	l := t.Load("connect")
	t.Step("start the bridge and publish %.0f messages/s", l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, Floor: true})
	dark := 0 // visits in a row that were shown nothing
	for round := 0; round <= l.Extend && dark < visitsDark; round++ {
		if round > 0 {
			h, err := b.Peek(ctx)
			t.Check(err)
			short := shortOfVisits(h, b.Options("LAT-08"), t.Rig.Profile())
			if short == nil {
				break
			}
			t.Step("%s: as many visits once more", short)
		}
		t.Step("%d times: connect a viewer, wait for its first sample, leave", l.Cycles)
		t.Check(b.Around(ctx, fmt.Sprintf("connect-%d", round+1), 500*time.Millisecond, 200*time.Millisecond, func(ctx context.Context) error {
			return untilDark(l.Cycles, visitsDark, func(i int) (bool, error) {
				shown, err := visit(ctx, b, fmt.Sprintf("visitor-%03d", round*l.Cycles+i+1), visitPatience(t.Limit("LAT-08"), dark))
				if dark++; shown {
					dark = 0
				}
				return shown, err
			})
		}))
	}
	t.Step("drain, end everything and judge the first sample of each visit")
	t.Check(b.Finish(ctx))
}

func judgeConnect(c *spec.Case) {
	l, j := c.Load("connect"), newJudged(c)
	first, left := firstsOf(j.history, j.options("LAT-08"), j.Limit("LAT-08").Time)
	if left > 0 {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "viewers that stay longer",
			Detail: fmt.Sprintf("%d of %d viewers had left before their first message came or was late", left, len(first.Series.Value)+left),
		})
	}
	j.latency("LAT-08", first, visitRule(j.Profile, l.Cycles))
	j.showOnly("first sample after connecting", first)
}

// firstsOf returns the latency of the first sample of each visit, and how many are
// no sample: the visitor had three of other devices and was gone before that one
// came, or was later than the limit. Up to one in a hundred they count as if they
// had never come, and none is told apart.
func firstsOf(h *oracle.History, o oracle.Options, limit time.Duration) (first oracle.Latencies, left int) {
	all := h.FirstMessages(o)
	early := func(m oracle.FirstMessage) bool { return math.IsInf(m.Latency, 1) && m.Watched < int64(limit) }
	for _, m := range all {
		if early(m) {
			left++
		}
	}
	if left*100 <= len(all) {
		left = 0
	}
	for _, m := range all {
		if left > 0 && early(m) {
			continue
		}
		first.Series.Due = append(first.Series.Due, m.At)
		first.Series.Value = append(first.Series.Value, m.Latency)
	}
	return first, left
}

// visitRule is DR-2 for so many visits at least. A visit is the unit, not a
// second: a slow one must not leave the seconds beside it without any.
func visitRule(p *profile.Profile, visits int) stats.Rule {
	rule := ruleOf(p, p.Limits["LAT-08"].Samples)
	rule.Ordinal, rule.MinBlocks = true, max(min(30, visits/2-1), 2)
	return rule
}

// shortOfVisits returns LAT-08 when the visits so far cannot carry it, as shortOf
// does; nil when they do or it is not asked for.
func shortOfVisits(h *oracle.History, o oracle.Options, p *profile.Profile) *want {
	for _, id := range asked(p, "LAT-08") {
		rule := visitRule(p, p.Loads["connect"].Cycles)
		first, _ := firstsOf(h, o, p.Limits[id].Time)
		if short := question(first, p, id, rule).Short(); short != nil {
			return &want{id: id, Short: *short}
		}
	}
	return nil
}

// visitsDark is how many visits in a row, shown nothing, are the last: as many as
// LAT-08 needs to be judged.
const visitsDark = 60

// visitPatience is how long a visitor waits for its first samples. After three in
// a row that were shown nothing it is beyond the limit and no longer: a system
// that lets viewers in and shows nothing would keep hundreds waiting.
func visitPatience(limit profile.Limit, dark int) time.Duration {
	if dark >= 3 {
		return patient(limit, time.Second)
	}
	return patient(limit, freshPatience)
}

// visit opens a viewer, waits for its first live samples, closes it and reports
// whether they came.
func visit(ctx context.Context, b *harness.Bench, name string, patience time.Duration) (shown bool, err error) {
	v, err := b.AddViewer(ctx, harness.ViewerConfig(b, name))
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The first samples to arrive may have been intended before the
	// subscription; the one in question is among the next.
	came := v.WaitReceived(limited, 3)
	for _, wait := range []error{came, harness.Wait(ctx, betweenVisits)} {
		if wait != nil && ctx.Err() != nil {
			return false, wait // else it stays: a sample that never came is infinitely late
		}
	}
	b.RemoveViewer(v)
	return came == nil, v.Close()
}

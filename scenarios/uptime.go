package scenarios

// Uptime: does anything happen when the machine has been up for so long that its
// milliseconds no longer fit into 32 bits?
//
// Requirement: RES-07.
//
// Procedure "uptime", once for 24.8 days (31 bits) and once for 49.7 (32 bits):
//  1. Start the system so that it sees a machine that has been up for as long, less
//     a few seconds; devices publish, viewers read.
//  2. Go on until the milliseconds have wrapped, and some heartbeats longer.
//  3. No session may end by that, and nothing may be lost or doubled.
//
// A process that counts from its own start sees nothing of it: that takes as many
// days. What counts from the start of the machine, as most clocks of systems do,
// wraps. It takes Linux, whose time namespaces set that clock for one process.

import (
	"context"
	"time"

	"plumbline/harness"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

const (
	// uptimeLead is how long before the wrap the system is started, and uptimeMore
	// how long it is watched beyond it.
	uptimeLead = 4 * time.Second
	uptimeMore = 2500 * time.Millisecond
)

// wraps are the uptimes at which milliseconds leave 31 and 32 bits.
var wraps = []time.Duration{1 << 31 * time.Millisecond, 1 << 32 * time.Millisecond}

var _ = spec.Describe("Uptime", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "uptime", Title: "keeps sessions and messages when the machine has been up for 24.8 and 49.7 days",
		Requirements: []string{"RES-07"}, Loads: []string{"clockstep"},
		Drive: driveUptime, Judge: judgeUptime,
	})
})

// uptimeFacts is when the wraps came.
type uptimeFacts struct {
	Left   []time.Duration `json:"left_ns"` // from the first traffic to each wrap, at least
	Absent string          `json:"absent"`  // why the uptime was not set, "" when it was
}

func driveUptime(ctx context.Context, t *spec.Trial) {
	facts := uptimeFacts{}
	if err := sut.CanSetUptime(); err != nil {
		facts.Absent = err.Error()
	}
	if !t.Rig.Has(sut.CapProcesses) {
		facts.Absent = "the system runs elsewhere"
	}
	for _, wrap := range wraps {
		if facts.Absent != "" {
			break
		}
		began := time.Now()
		t.Step("start the system on a machine that has been up for %s, less %s", wrap, uptimeLead)
		b := t.Open(ctx, harness.Plan{
			Load: t.Load("clockstep"), Uptime: wrap - uptimeLead, Config: map[string]any{"viewers.heartbeat": heartbeat.String()},
		})
		left, opened := time.Until(began.Add(uptimeLead)), time.Now()
		facts.Left = append(facts.Left, left)
		t.Step("publish until %s after the milliseconds have wrapped, drain and count", uptimeMore)
		t.Check(b.Around(ctx, "uptime", 0, 0, func(ctx context.Context) error {
			return harness.Wait(ctx, time.Until(opened.Add(uptimeLead+uptimeMore)))
		}))
		t.Check(b.Finish(ctx))
		t.Check(b.Close())
	}
	t.Keep(facts)
}

// early returns the gate of a wrap that came before there was any traffic.
func (f uptimeFacts) early(i int) []stats.Gate {
	if i < len(f.Left) && f.Left[i] > 0 {
		return nil
	}
	return []stats.Gate{{
		Reason: reports.ReasonSamples, Cure: "a system that starts within " + uptimeLead.String(),
		Detail: "the milliseconds had wrapped before there was any traffic",
	}}
}

func judgeUptime(c *spec.Case) {
	facts := spec.Facts[uptimeFacts](c)
	if facts.Absent != "" {
		notAsked(c, "RES-07", facts.Absent)
		return
	}
	for i, r := range c.Benches() {
		j := judgedAt(c, r)
		j.unmet = append(j.unmet, facts.early(i)...)
		j.steady("RES-07", "effect of the wrap/effects of the wrap")
	}
	newJudged(c).show("t0i→t4, 24.8 days of uptime are over", slotOf(uptimeLead+uptimeMore))
}

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
//  3. No session may end by that, and nothing may be lost or doubled. A system
//     that dies, or does not even come up, and does so again, fails if it lives
//     through the same at the true uptime.
//
// A process that counts from its own start sees nothing of it: that takes as many
// days. What counts from the start of the machine, as most clocks of systems do,
// wraps. It takes Linux, whose time namespaces set that clock for one process.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
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

// uptimeFacts is what became of the system at each wrap.
type uptimeFacts struct {
	Wraps  []aged `json:"wraps"`
	Absent string `json:"absent"` // why the uptime was not set, "" when it was
}

// aged is what became of the system at one wrap.
type aged struct {
	Bench string        `json:"bench"`   // its folder; "" when the system did not come up
	Left  time.Duration `json:"left_ns"` // from the first traffic to the wrap, at least
	Died  string        `json:"died"`    // how, twice, though it lives at the true uptime; "" when it lived
	Once  string        `json:"once"`    // how it died the first time, though not the second; "" when it did not
}

func driveUptime(ctx context.Context, t *spec.Trial) {
	facts := uptimeFacts{}
	if err := sut.CanSetUptime(wraps[len(wraps)-1]); err != nil {
		facts.Absent = err.Error()
	}
	if !t.Rig.Has(sut.CapProcesses) {
		facts.Absent = "the system runs elsewhere"
	}
	for _, wrap := range wraps {
		if facts.Absent != "" {
			break
		}
		a, err := confirm(wrap-uptimeLead, func(up time.Duration) (aged, error) { return ageTo(ctx, t, up) })
		t.Check(err)
		if facts.Wraps = append(facts.Wraps, a); a.Died != "" {
			break // each death takes three starts, which may take long
		}
	}
	t.Keep(facts)
}

// confirm lets a system that died of an uptime live at the true one, and then at
// that one again: what dies there as well says nothing about uptimes, and is an
// error.
func confirm(up time.Duration, live func(up time.Duration) (aged, error)) (aged, error) {
	first, err := live(up)
	if err != nil || first.Died == "" {
		return first, err
	}
	sober, err := live(0)
	if err != nil {
		return first, err
	}
	if sober.Died != "" {
		return first, fmt.Errorf("%w: at the true uptime of the machine as well: %s", sut.ErrUnavailable, sober.Died)
	}
	again, err := live(up)
	if again.Died == "" {
		again.Once = first.Died
	}
	return again, err
}

// ageTo lets the system live through what follows an uptime; 0 is the true one.
// That it dies is no error.
func ageTo(ctx context.Context, t *spec.Trial, up time.Duration) (aged, error) {
	t.Step("start the system on a machine that has been up %s", howLong(up))
	began := time.Now()
	b, err := t.OpenMortal(ctx, harness.Plan{
		Load: t.Load("clockstep"), Uptime: up, Config: map[string]any{"viewers.heartbeat": heartbeat.String()},
	})
	if err != nil && errors.Is(err, sut.ErrUnavailable) && ctx.Err() == nil {
		return aged{Died: "it did not come up: " + err.Error()}, nil
	}
	if err != nil {
		return aged{}, err
	}
	a, opened := aged{Bench: b.Folder(), Left: time.Until(began.Add(uptimeLead))}, time.Now()
	t.Step("publish for %s, until the milliseconds have wrapped and longer, drain and count", uptimeLead+uptimeMore)
	err = b.Around(ctx, "uptime", 0, 0, func(ctx context.Context) error {
		return harness.Wait(ctx, time.Until(opened.Add(uptimeLead+uptimeMore)))
	})
	if err == nil {
		err = b.Finish(ctx)
	}
	lived, ended := time.Since(began), b.Close()
	if gone := b.SUT.Err(); gone != nil && ctx.Err() == nil {
		a.Died = fmt.Sprintf("%s after its start: %v", lived.Round(100*time.Millisecond), gone)
		return a, nil // what was still to be said to one that died could not be
	}
	return a, errors.Join(err, ended)
}

func howLong(up time.Duration) string {
	if up == 0 {
		return "for as long as it has: does it live there?"
	}
	return fmt.Sprintf("for %s, %s before the milliseconds wrap", up, uptimeLead)
}

// unmet returns the gates of a wrap that came before there was any traffic, or
// that the system survived the second time only.
func (a aged) unmet() (gates []stats.Gate) {
	if a.Once != "" {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSUT, Cure: "a system that lives", Detail: "it died, and the second time it lived: " + a.Once,
		})
	}
	if a.Left <= 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a system that starts within " + uptimeLead.String(),
			Detail: "the milliseconds had wrapped before there was any traffic",
		})
	}
	return gates
}

// death judges a system that did not survive an uptime.
func (a aged) death(c *spec.Case, id string, wrap time.Duration) reports.Result {
	return oracle.JudgeZero(c.Requirement(id), oracle.ZeroInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Noun: "death/deaths", Unit: "starts before the wrap", N: 2, Events: 2, Seed: c.Seed(),
		Findings: []reports.Finding{{
			Requirement: id, Kind: "died", Subject: fmt.Sprintf("the system on a machine that is up for %s", wrap), Confirmed: true,
			Evidence: "facts/" + c.Scenario.ID + ".json", Detail: "it died twice, and lives at the true uptime: " + a.Died,
		}},
	})
}

func judgeUptime(c *spec.Case) {
	facts := spec.Facts[uptimeFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	benches := map[string]*harness.Recorded{}
	for _, r := range c.Benches() {
		benches[r.Folder()] = r
	}
	for i, a := range facts.Wraps {
		if a.Died != "" {
			c.Judge(a.death(c, "RES-07", wraps[i]))
			continue
		}
		j := judgedAt(c, benches[a.Bench])
		j.unmet = append(j.unmet, a.unmet()...)
		j.steady("RES-07", "effect of the wrap/effects of the wrap")
		if i == 0 {
			j.show("t0i→t4, 24.8 days of uptime are over", slotOf(uptimeLead+uptimeMore))
		}
	}
}

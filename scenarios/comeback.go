package scenarios

// Coming back in numbers: does everybody come back, with everything?
//
// Requirements: REC-04, REC-05, REC-06.
//
// Procedure "storm":
//  1. Start the bridge with many viewers behind a proxy.
//  2. Again and again cut all of them at once with RST, for a while, and let them
//     come back: the second storm must be weathered as the first.
//  3. Judge the time to fresh data of each, and that nobody was refused for good.
//
// Procedure "refill":
//  1. Start the bridge with a viewer that has one filter for each device.
//  2. Again and again restart bridge and broker, by SIGKILL and in good order in
//     turn, and let the viewer come back and get something.
//  3. Every filter must bring data again after every restart.
//  4. Let a client connect to the broker, and another one under the same client
//     identifier. From then on the first must neither get nor send anything.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// stormSlot is the width of the slots in which handshakes are counted.
const stormSlot = 100 * time.Millisecond

// refillViewer has one filter for each device.
const refillViewer = "viewer with many filters"

var _ = spec.Describe("Coming back in numbers", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "storm", Title: "lets many viewers that were cut off at once all come back",
		Requirements: []string{"REC-04"}, Loads: []string{"storm"},
		Drive: driveStorm, Judge: judgeStorm,
	})
	s.Scenario(spec.Scenario{
		ID: "refill", Title: "serves every filter of a viewer again after restarts, and no client whose session another one took",
		Requirements: []string{"REC-05", "REC-06"}, Loads: []string{"refill"},
		Drive: driveRefill, Judge: judgeRefill,
	})
})

func driveStorm(ctx context.Context, t *spec.Trial) {
	l := t.Load("storm")
	t.Step("start the bridge; %d viewers behind a proxy, %d devices with %.0f messages/s", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, ViewerFault: true})
	t.Step("%d times: cut all of them at once with RST for %s and let them come back", l.Cycles, l.Hold)
	t.Check(b.Around(ctx, "storm", 200*time.Millisecond, 300*time.Millisecond, func(ctx context.Context) error {
		for range l.Cycles {
			if err := fault.Apply(ctx, b.Recorder, b.ViewerProxy.CutFault(true), l.Hold); err != nil {
				return err
			}
			if came, err := back(ctx, b, patient(t.Limit("REC-04"), patience)); !came {
				return err
			}
			if err := b.Fresh(ctx, patient(t.Limit("REC-04"), freshPatience)); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge the way back of every viewer")
	t.Check(b.Finish(ctx))
}

func judgeStorm(c *spec.Case) {
	l, j := c.Load("storm"), newJudged(c)
	j.weathered("REC-04", l.Cycles*l.Viewers, j.samples("REC-04"))
	j.showOnly("t0i→t4, storms of reconnections", j.history.Latencies(j.options("")))
}

// weathered judges that everybody came back after every storm, in time; cuts is
// how many connections were to be lost.
func (j *judged) weathered(id string, cuts int, least int64) {
	j.exercised(cuts)
	most, all := busiest(j.history.Log(), stormSlot)
	j.resumedAs(id, fmt.Sprintf("end of the cut to fresh data, the slowest (of %d handshakes at most %d within %s)", all, most, stormSlot), least)
}

// busiest returns how many viewers came back in the busiest slot, and in all.
func busiest(log *record.Log, slot time.Duration) (most, all int) {
	lost, slots := map[string]bool{}, map[int64]int{}
	for _, e := range log.Events {
		switch {
		case e.Kind == record.Disconnected:
			lost[e.Subject] = true
		case e.Kind == record.Connected && lost[e.Subject]:
			lost[e.Subject] = false
			slots[e.At/int64(slot)]++
			all++
		}
	}
	for _, n := range slots {
		most = max(most, n)
	}
	return most, all
}

func driveRefill(ctx context.Context, t *spec.Trial) {
	l := t.Load("refill")
	t.Step("start the bridge; %d devices with %.0f messages/s, a viewer with a filter for each", l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, Config: map[string]any{"drain.spread": "200ms"}})
	cfg := harness.ViewerConfig(b, refillViewer)
	cfg.Filters = nil
	for _, d := range b.Devices() {
		cfg.Filters = append(cfg.Filters, harness.Topic(d.ID))
	}
	cfg.Token = harness.Credential(b, refillViewer, cfg.Filters)
	v, err := b.AddViewer(ctx, cfg)
	t.Check(err)
	received := func() uint64 { return v.Counters().Received }
	t.Step("%d times: restart the bridge, by SIGKILL and in good order, and a broker that is no part of it, in turn; let the viewer come back", l.Cycles)
	seen := refillFacts{Round: roundOf(cfg)}
	seen.Held = heldFor(l.Hold, seen.Round)
	t.Check(b.Around(ctx, "refill", l.Hold, l.Hold, func(ctx context.Context) (err error) {
		ways := restarts(b)
		for i := range l.Cycles {
			if err := fault.Apply(ctx, b.Recorder, ways[i%len(ways)], 0); err != nil {
				return err
			}
			if came, err := back(ctx, b, patience); !came {
				return err
			}
			if err := more(ctx, received, freshPatience); err != nil {
				return err
			}
			if err := harness.Wait(ctx, seen.Held); err != nil {
				return err
			}
		}
		seen.takeoverFacts, err = keepTakeover(ctx, t, b)
		return err
	}))
	t.Keep(seen)
	t.Step("drain, end everything and compare the filters that bring data with those that were asked for")
	t.Check(b.Finish(ctx))
}

// refillFacts is what the drive knows of the viewer with many filters, and of the
// takeover after it.
type refillFacts struct {
	takeoverFacts
	Round time.Duration `json:"round_ns"` // that it takes to ask for all filters, where each is asked for by itself
	Held  time.Duration `json:"held_ns"`  // how long it was let be after each restart
}

// roundOf returns how long a viewer takes to ask for each of its filters, which one
// that polls does in turn; 0 where filters are subscribed to.
func roundOf(cfg viewer.Config) time.Duration {
	if cfg.Protocol != viewer.Poll {
		return 0
	}
	return time.Duration(len(cfg.Filters)) * cmp.Or(cfg.Interval, viewer.DefaultInterval)
}

const (
	rounds   = 2                // in which each filter is asked for once at least, whenever its turn is
	heldMost = 15 * time.Second // after a restart
)

// heldFor returns how long a viewer is let be after a restart: for hold, and for its
// rounds where it polls, up to heldMost.
func heldFor(hold, round time.Duration) time.Duration {
	return hold + min(rounds*round, max(heldMost-hold, 0))
}

// unasked returns the gate of rounds that took longer than the viewer was let be: a
// filter that nobody asked for brings nothing.
func (f refillFacts) unasked() []stats.Gate {
	if f.Held >= rounds*f.Round {
		return nil
	}
	return []stats.Gate{{
		Reason: reports.ReasonSamples, Cure: "a shorter interval in the descriptor, or fewer devices",
		Detail: fmt.Sprintf("a viewer that polls takes %s to ask for all of its filters, and %s pass between restarts", f.Round, f.Held),
	}}
}

// more waits until something is received after it was called: a bridge that was not restarted itself may need a while to find its broker
// again. It fails only when ctx ends: that nothing came within limit is for the judge.
func more(ctx context.Context, received func() uint64, limit time.Duration) error {
	before := received()
	_ = harness.Until(ctx, limit, "data after a restart", func() bool { return received() > before })
	return ctx.Err()
}

// restart is a fault made of two steps: something goes away and comes back.
type restart struct {
	name    string
	away    func(ctx context.Context) error
	andBack func(ctx context.Context) error
}

var _ fault.Fault = restart{}

// Name implements fault.Fault.
func (r restart) Name() string { return r.name }

// Inject implements fault.Fault.
func (r restart) Inject(ctx context.Context) error { return r.away(ctx) }

// Revert implements fault.Fault.
func (r restart) Revert(ctx context.Context) error { return r.andBack(ctx) }

// restarts returns the ways in which what serves a viewer can go away and come
// back: the bridge, and a broker that is no part of it.
func restarts(b *harness.Bench) []fault.Fault {
	none := func(context.Context) error { return nil }
	kill := func(context.Context) error { return b.SUT.Kill() }
	all := []fault.Fault{restart{"restart of the bridge", none, b.SUT.Restart}}
	if b.SUT.Kills() {
		all = append([]fault.Fault{restart{"SIGKILL of the bridge", kill, b.SUT.Start}}, all...)
	}
	if b.SUT.BrokerApart() {
		all = append(all, restart{"restart of the broker", none, b.SUT.RestartBroker})
	}
	return all
}

func judgeRefill(c *spec.Case) {
	l, j, seen := c.Load("refill"), newJudged(c), spec.Facts[refillFacts](c)
	met, unasked := j.unmet, seen.unasked()
	j.unmet = append(slices.Clone(met), unasked...)
	j.refilled("REC-05", refillViewer, l.Cycles, j.samples("REC-05"), len(unasked) == 0)
	j.unmet = met
	j.taken("REC-06", seen.takeoverFacts)
	j.showOnly("t0i→t4, a viewer with many filters over restarts", j.history.Latencies(j.options("")))
}

// refilled judges that after every restart each filter of the viewer
// brought data again, of those whose device published; least is how many that takes.
// Where not all of them were asked for, one that brought nothing proves nothing, and
// one of which what the rig itself did not bring in time may have been all neither.
func (j *judged) refilled(id, name string, cycles int, least int64, asked bool) {
	log := j.history.Log()
	all := outagesOf(log, name)
	if len(all) < cycles {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a bridge that comes back every time",
			Detail: fmt.Sprintf("%d restarts are on record, %d were to be made", len(all), cycles),
		})
	}
	var found []reports.Finding
	checks, doubts := int64(0), int64(0)
	// find enters what was waited for in vain from an instant to the next restart.
	find := func(f reports.Finding, limit time.Duration, from, to int64) {
		if to == 0 {
			to = j.watchedTo()
		}
		if f.Confirmed && j.stood.Excused(limit, time.Duration(to-from), from, to) {
			f.Confirmed = false
			doubts++
		}
		found = append(found, f)
	}
	for i, one := range all {
		if one.since == 0 {
			find(reports.Finding{
				Requirement: id, Kind: "never-back", Subject: name, Confirmed: true, At: time.Duration(one.onset),
				Detail: fmt.Sprintf("after restart %d (%s) the viewer was never subscribed again", i+1, one.name),
			}, patience, one.onset, one.until)
			continue
		}
		due, silent := silentFilters(log, name, one.since, one.until)
		checks += due
		for _, filter := range silent {
			find(reports.Finding{
				Requirement: id, Kind: "filter-lost", Subject: filter.topic, Confirmed: asked, At: time.Duration(one.since),
				Detail: fmt.Sprintf("after restart %d (%s) nothing of filter %q came any more, though its device published", i+1, one.name, filter.topic),
			}, refillMargin, filter.owed, one.until)
		}
	}
	j.unmet = append(j.unmet, rigStill(doubts, "filters brought nothing", j.stood.Untold(refillMargin))...)
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: checks, MinN: least, Findings: found, Seed: j.Seed(), Gates: j.sound(id),
	}))
}

// outageOf is one fault as a viewer saw it. Instants are ns on the run clock.
type outageOf struct {
	name  string
	onset int64
	since int64 // the viewer was served again from here on, 0 when it never was
	until int64 // onset of the next fault, 0 when there was none
}

// outagesOf returns the faults of a recording as the viewer of that name saw
// them. One that did not cost it its connection is over with its end.
func outagesOf(log *record.Log, name string) (all []outageOf) {
	for _, e := range log.Events {
		switch {
		case e.Kind == record.DrainEnd:
			return all // what follows is the harness leaving
		case e.Kind == record.FaultOnset:
			if n := len(all); n > 0 {
				all[n-1].until = e.At
			}
			all = append(all, outageOf{name: e.Subject, onset: e.At})
		case len(all) == 0:
		case e.Kind == record.FaultEnd, e.Kind == record.Subscribed && e.Subject == name:
			all[len(all)-1].since = e.At
		case e.Kind == record.Disconnected && e.Subject == name:
			all[len(all)-1].since = 0
		}
	}
	return all
}

// refillMargin is how long before the next loss a message must have been
// acknowledged for its delivery to be owed before it.
const refillMargin = 300 * time.Millisecond

// silentFilter is a filter that brought nothing, and since when it owed something, on
// the run clock.
type silentFilter struct {
	topic string
	owed  int64
}

// silentFilters returns, of the topics that the viewer of that name asked for,
// how many had a message that was intended after since and acknowledged well
// before until (0 is the end), and those of them of which nothing intended after
// since arrived.
func silentFilters(log *record.Log, name string, since, until int64) (due int64, silent []silentFilter) {
	node := slices.IndexFunc(log.Index.Nodes, func(n record.Node) bool { return n.Name == name })
	intended, owed, came := map[[2]uint64]int64{}, map[uint32]int64{}, map[uint32]bool{}
	for _, r := range log.Records {
		if r.Kind == record.Sent && r.Due >= since {
			intended[[2]uint64{uint64(r.Stream), r.Seq}] = r.Due
		}
	}
	for _, r := range log.Records {
		if _, after := intended[[2]uint64{uint64(r.Stream), r.Seq}]; !after || r.Stream == record.NoStream {
			continue
		}
		switch {
		case r.Kind == record.Acked && (until == 0 || r.At < until-int64(refillMargin)):
			if first, known := owed[r.Stream]; !known || r.At < first {
				owed[r.Stream] = r.At
			}
		case r.Kind == record.Received && int(r.Node) == node && (until == 0 || r.At < until):
			came[r.Stream] = true
		}
	}
	for stream, first := range owed {
		topic := log.Index.Streams[stream].Topic
		if node < 0 || !slices.Contains(log.Index.Nodes[node].Filters, topic) {
			continue
		}
		if due++; !came[stream] {
			silent = append(silent, silentFilter{topic, first})
		}
	}
	slices.SortFunc(silent, func(a, b silentFilter) int { return strings.Compare(a.topic, b.topic) })
	return due, silent
}

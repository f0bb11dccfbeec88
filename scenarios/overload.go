package scenarios

// Overload: who pays for a viewer that does not read?
//
// Requirements: RES-04 and RES-05, and DEL-07 for what the slow viewer misses.
//
// Procedure "stall":
//  1. Start the bridge; some viewers watch the devices, one more watches a bulky
//     topic of its own.
//  2. For one window all of them read. The bulky topic gets more bytes than any
//     buffer may hold. Windows like it follow until memory stands still, so that a
//     cache which fills with what is published is full, or as often as the profile
//     allows.
//  3. The one stops reading without closing anything. For a second window the
//     same is published as in each of the first.
//  4. It reads again, while its topic goes on in small messages. Where memory rose
//     beyond the limit and the one has caught up, windows follow in which all read, as
//     many as the profile allows: memory that rises in them too is nobody's alone.
//  5. Judge the latency of the others in the second window, how much more memory
//     the bridge took than in the first (type growth), and what the one ended up with.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// The names of the slow viewer, of its device and of its topic, which nobody
// else watches.
const (
	slowViewer = "slow viewer"
	bulkDevice = "bulk"
	bulkTopic  = "bulk/one"
)

const (
	bulkBytes    = 64 << 10 // of a bulky message: what every broker takes
	bulkLeast    = 8        // MiB in a window where no limit says how much fills every buffer on the way
	bulkInFlight = 8
	bulkAfter    = 10                     // small messages after the stall
	bulkTrickle  = 20 * time.Millisecond  // between those
	stallSample  = 100 * time.Millisecond // between two looks at the memory
)

// smallCache keeps the default system from filling a cache for all viewers with
// what is published: the memory that it takes would hide what one viewer costs.
var smallCache = map[string]any{"journal.tailBytes": "4MiB"}

// aloneWindow and besideWindow are the windows without and with a stalled viewer;
// of the first there may be several.
const (
	aloneWindow  = "all read"
	besideWindow = "one does not read"
	againWindow  = "all read again"
)

var _ = spec.Describe("Overload", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "stall", Title: "lets a viewer that does not read cost the others nothing and the bridge little",
		Requirements: []string{"RES-04", "RES-05", "DEL-07"}, Loads: []string{"stall"},
		Drive: driveStall, Judge: judgeStall,
	})
})

func driveStall(ctx context.Context, t *spec.Trial) {
	l := t.Load("stall")
	t.Step("start the bridge; %d viewers watch %d devices with %.0f messages/s, one more watches a bulky topic of its own", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, Sample: stallSample, Config: smallCache})
	tap, newest := &harness.Tap{}, &atomic.Uint64{}
	slow, err := b.AddViewer(ctx, slowly(b, tap, newest))
	t.Check(err)
	bulk, err := b.AddDevice(ctx, bulkDevice, bulkTopic, bulkInFlight)
	t.Check(err)
	b.RemoveViewer(slow) // it gets nothing of what the others get
	enough := max(2*t.Limit("RES-05").Count, bulkLeast) << 20
	t.Step("warm up for %s; %s in which all read, with at least %d MiB of the bulky topic", l.WarmUp, l.Window, enough>>20)
	t.Check(b.Drive(ctx, l.WarmUp, nil))
	all := func(ctx context.Context) error {
		return errors.Join(flood(ctx, bulk, enough, l.Window, patience), caughtUp(ctx, bulk, newest, l.Drain))
	}
	g, err := readOn(ctx, t, b, all)
	t.Check(err)
	stalled := b.Clock.Now()
	t.Step("the same for %s in which the one does not read", l.Window)
	t.Check(b.Around(ctx, besideWindow, 0, 0, func(ctx context.Context) error {
		return fault.During(ctx, b.Recorder, tap.Stall(), func(ctx context.Context) error {
			return flood(ctx, bulk, enough, l.Window, patience)
		})
	}))
	t.Step("let it read again, send it %d small messages and wait for the newest", bulkAfter)
	g.beside, _ = memory(b.Usages(), stalled, b.Clock.Now())
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error { return catchUp(ctx, bulk, newest, l.Drain) }))
	if newest.Load() >= bulk.Last() { // else what it did not read fills memory yet
		t.Check(readAgain(ctx, t, b, g, all))
	}
	t.Step("drain, end everything and judge the others, the memory and what the one got")
	t.Check(slow.Close())
	t.Check(b.Finish(ctx))
}

// slowly returns the settings of the viewer that will stop reading; newest gets
// the position of the newest message that it was given.
func slowly(b *harness.Bench, tap *harness.Tap, newest *atomic.Uint64) viewer.Config {
	cfg := harness.ViewerConfig(b, slowViewer)
	filters := []string{bulkTopic}
	cfg.Filters, cfg.Dial, cfg.Silence = filters, tap.Dial, time.Minute
	cfg.Token = harness.Credential(b, slowViewer, filters)
	resolve := cfg.Resolve
	cfg.Resolve = func(topic string, payload []byte) (uint32, uint64, uint8) {
		stream, seq, flags := resolve(topic, payload)
		newest.Store(max(newest.Load(), seq)) // one goroutine reads
		return stream, seq, flags
	}
	return cfg
}

// flood publishes bulky messages for length, spread evenly so that they make up
// enough bytes, and goes on until they do where the broker is slower than that.
// A broker that takes no more for limit, for it waits for who does not read, gets
// no more: how much it was is on record.
func flood(ctx context.Context, bulk bulky, enough int64, length, limit time.Duration) error {
	n := (enough + bulkBytes - 1) / bulkBytes
	start := time.Now()
	for i := range n {
		if err := harness.Wait(ctx, time.Until(start.Add(length*time.Duration(i)/time.Duration(n)))); err != nil {
			return err
		}
		var failed error
		room := func() bool {
			counts, err := bulk.Counts(ctx)
			failed = err
			return err != nil || counts.InFlight < bulkInFlight
		}
		if harness.Until(ctx, limit, "the broker takes bulky messages", room) != nil || failed != nil {
			return errors.Join(failed, ctx.Err())
		}
		if _, err := bulk.Send(ctx, bulkBytes); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = bulk.WaitAcked(limited) // how many were is on record
	return ctx.Err()
}

// bulky is the device that publishes to the one that will not read: a harness.Extra.
type bulky interface {
	Counts(ctx context.Context) (load.Counts, error)
	Send(ctx context.Context, bytes int) (bool, error)
	WaitAcked(ctx context.Context) error
}

// catchUp publishes small messages and waits for the newest of them.
func catchUp(ctx context.Context, bulk *harness.Extra, newest *atomic.Uint64, limit time.Duration) error {
	for range bulkAfter {
		if err := harness.Wait(ctx, bulkTrickle); err != nil {
			return err
		}
		if _, err := bulk.Send(ctx, 1); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = bulk.WaitAcked(limited)
	return caughtUp(ctx, bulk, newest, limit)
}

// caughtUp waits until the slow viewer has the newest message of its topic, at
// most for limit. It fails only when ctx ends: what did not come is for the judge.
func caughtUp(ctx context.Context, bulk *harness.Extra, newest *atomic.Uint64, limit time.Duration) error {
	_ = harness.Until(ctx, limit, "the newest message", func() bool { return newest.Load() >= bulk.Last() })
	return ctx.Err()
}

func judgeStall(c *spec.Case) {
	l, j := c.Load("stall"), newJudged(c)
	others := j.base
	for i := range l.Viewers {
		others.Viewers = append(others.Viewers, fmt.Sprintf("viewer-%02d", i+1))
	}
	j.undisturbed("RES-04", others)
	j.bounded("RES-05")
	j.base.Viewers = []string{slowViewer}
	j.honest("DEL-07", 1)
	j.base = others
	j.show(fmt.Sprintf("t0i→t4 of %d viewers, beside one that does not read", l.Viewers), slotOf(2*l.Window))
}

// undisturbed judges the p99 of the latency of the other viewers while one does
// not read, against what it was in the window before: the same in both is no
// doing of the one. Messages that never came, or could not be sent because the
// system took no more, are infinitely late.
func (j *judged) undisturbed(id string, others oracle.Options) {
	limit := j.Limit(id).Time
	p99 := func(window string) (ms float64, n int64) {
		others.Requirement, others.Window = id, window
		values := slices.Sorted(slices.Values(j.history.Latencies(others).Series.Value))
		return stats.Quantile(values, 0.99), int64(len(values))
	}
	alone, _ := p99(aloneWindow)
	beside, n := p99(besideWindow)
	figure := &reports.Measurement{
		Name: fmt.Sprintf("p99 at the others while one does not read (%.3g ms while it did)", alone), Unit: "ms",
		Estimate: reports.Float(beside), Lower: nan, Upper: nan, Confidence: 0.99, Limit: reports.Float(limit.Seconds() * 1e3),
		N: n, NEff: n, VIF: 1, Runs: []reports.Float{reports.Float(alone), reports.Float(beside)},
	}
	gates := append(j.calm(limit, alone), j.sound(id)...)
	if full := j.filled(); full != nil {
		gates = append(gates, *full)
	}
	if len(gates) > 0 || n == 0 {
		figure.Estimate = nan // a figure of something else decides nothing
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: n, MinN: j.samples(id), Figure: figure, Seed: j.Seed(), Gates: gates,
	}))
}

// calm returns why a latency above the limit would not be the doing of the
// viewer that does not read: the rig itself was late, or it was so before.
func (j *judged) calm(limit time.Duration, alone float64) (open []stats.Gate) {
	ms := limit.Seconds() * 1e3
	if slip := float64(j.health.SlipP99); slip > j.Profile.Gates.Slip*ms {
		open = append(open, stats.Gate{
			Reason: reports.ReasonGenerator, Cure: "a less busy machine",
			Detail: fmt.Sprintf("the p99 of the send slip is %.3g ms, above %.3g ms", slip, j.Profile.Gates.Slip*ms),
		})
	}
	if away := j.longestAway(limit); away > ms {
		open = append(open, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a quieter machine", Detail: fmt.Sprintf("the rig itself did not run for %.3g ms", away),
		})
	}
	if alone > ms {
		open = append(open, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a system that keeps the limit while everybody reads",
			Detail: fmt.Sprintf("the p99 was %.3g ms already while everybody read", alone),
		})
	}
	return open
}

// longestAway returns the longest time in milliseconds in which the rig itself did not run
// while the one did not read; in all of the run where stretches as long as the limit
// were not all kept.
func (j *judged) longestAway(limit time.Duration) float64 {
	if j.stood.From > limit {
		return float64(j.health.HiccupMax)
	}
	s, longest := j.stall(), time.Duration(0)
	for _, g := range j.stood.Gaps {
		if g.At < s.to && g.At+int64(g.Length) > s.from {
			longest = max(longest, g.Length)
		}
	}
	return longest.Seconds() * 1e3
}

// stallOf is what the recording tells of the stall.
type stallOf struct {
	read     []span // in which all read
	again    []span // in which all read again
	from, to int64  // of the stall, ns on the run clock
	bytes    int64  // that the broker acknowledged of the bulky topic meanwhile
	newest   uint64 // the last that it acknowledged of the topic at all
	arrived  bool   // the viewer has that
	last     int64  // when something of the topic came to the viewer last
	left     int64  // when it was watched no more
}

// span is a stretch of time on the run clock.
type span struct{ from, to int64 }

// stillComing is how long nothing may have come for a viewer to count as catching up.
const stillComing = int64(2 * time.Second)

// catchingUp reports whether the viewer was still getting what it had not read when it was watched no more.
func (s stallOf) catchingUp() bool { return s.last > s.to && s.left-s.last < stillComing }

func (j *judged) stall() (s stallOf) {
	log := j.history.Log()
	for _, e := range log.Events {
		switch {
		case e.Kind == record.WindowOpen && e.Subject == aloneWindow:
			s.read = append(s.read, span{e.At, e.At})
		case e.Kind == record.WindowClose && e.Subject == aloneWindow && len(s.read) > 0:
			s.read[len(s.read)-1].to = e.At
		case e.Kind == record.WindowOpen && e.Subject == againWindow:
			s.again = append(s.again, span{e.At, e.At})
		case e.Kind == record.WindowClose && e.Subject == againWindow && len(s.again) > 0:
			s.again[len(s.again)-1].to = e.At
		case e.Kind == record.DrainEnd && s.left == 0,
			e.Kind == record.Disconnected && e.Subject == slowViewer && e.Fields["reason"] == record.ReasonClosed:
			s.left = e.At
		case e.Subject != (&harness.Tap{}).Stall().Name():
		case e.Kind == record.FaultOnset:
			s.from = e.At
		case e.Kind == record.FaultEnd:
			s.to = e.At
		}
	}
	for _, r := range log.Records {
		if r.Stream == record.NoStream || log.Index.Streams[r.Stream].Device != bulkDevice || r.Kind != record.Acked {
			continue
		}
		if r.At >= s.from && r.At <= s.to {
			s.bytes += int64(r.Bytes)
		}
		s.newest = max(s.newest, r.Seq)
	}
	for _, r := range log.Records {
		if r.Kind == record.Received && r.Stream != record.NoStream && log.Index.Streams[r.Stream].Device == bulkDevice {
			s.arrived, s.last = s.arrived || r.Seq == s.newest, max(s.last, r.At)
		}
	}
	return s
}

// filled returns the gate of a stall that held back too few bytes to be one;
// nil when there were enough.
func (j *judged) filled() *stats.Gate {
	s, enough := j.stall(), 2*j.Limit("RES-05").Count<<20
	if s.to > s.from && s.bytes >= enough {
		return nil
	}
	return &stats.Gate{
		Reason: reports.ReasonSamples, Cure: "a broker that takes bulky messages, or a longer window",
		Detail: fmt.Sprintf("%d KiB were published to the viewer that did not read, %d KiB are needed to fill its buffers", s.bytes>>10, enough>>10),
	}
}

// bounded judges what a viewer that does not read costs the bridge, and what it
// has in the end.
func (j *judged) bounded(id string) {
	s, limit := j.stall(), j.Limit(id)
	var found []reports.Finding
	var gates []stats.Gate
	switch {
	case s.newest == 0 || s.arrived:
	case s.catchingUp():
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonSamples, Cure: "a longer drain, or a system that brings faster what was not read",
			Detail: fmt.Sprintf("the viewer was still getting what it had not read %s after it read again", time.Duration(s.last-s.to).Round(time.Second)),
		})
	default:
		found = append(found, reports.Finding{
			Requirement: id, Kind: "stale", Subject: slowViewer, Confirmed: true, At: time.Duration(s.to), Seq: s.newest,
			Detail: fmt.Sprintf("it read again and never got the newest value of its topic, #%d", s.newest),
		})
	}
	figure, open := j.held(s, limit)
	if open != nil {
		gates = append(gates, *open)
	}
	if full := j.filled(); full != nil {
		gates = append(gates, *full)
		figure.Estimate = nan // memory beyond what was not read is not held for who did not read it
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: figure.N, MinN: limit.Samples, Findings: found, Figure: figure,
		Seed: j.Seed(), Gates: append(gates, j.history.Gates(j.options(id))...),
	}))
}

// held is the memory that was taken for who did not read, and the gate of it when
// nobody can tell for whom.
func (j *judged) held(s stallOf, limit profile.Limit) (*reports.Measurement, *stats.Gate) {
	var g growth
	for _, w := range s.read {
		if most, samples := memory(j.usage, w.from, w.to); samples > 0 {
			g.read = append(g.read, most)
		}
	}
	for _, w := range s.again {
		if least, samples := leastMemory(j.usage, w.from, w.to); samples > 0 {
			g.again = append(g.again, least)
		}
	}
	most, samples := memory(j.usage, s.from, s.to)
	g.beside = most
	took := g.cost(limit.Count << 20)
	figure := &reports.Measurement{
		Name: fmt.Sprintf("memory (RSS) taken while %d MiB were not read, above the %d MiB taken while as much was read", s.bytes>>20, g.most()>>20), Unit: "MiB",
		Estimate: nan, Lower: nan, Upper: nan, Confidence: 0.99, Limit: reports.Float(limit.Count), N: samples, NEff: samples, VIF: 1,
	}
	switch {
	case samples == 0 || len(g.read) == 0:
	case took.open != "":
		return figure, &stats.Gate{Reason: reports.ReasonSamples, Cure: "more windows in which all read (extend of the load)", Detail: took.open}
	default:
		figure.Estimate = reports.Float(float64(took.taken) / (1 << 20))
	}
	return figure, nil
}

package scenarios

// Approaches: what does each way to bring readings to a browser cost, and how fresh is
// what it shows?
//
// Requirements: APP-01. The figures stand in the report; what is commonly said of the
// approaches is held against them and decides nothing.
//
// Procedure "approaches":
//  1. Start one bridge, which serves all approaches at once from one journal, over TLS
//     1.3 with one certificate; devices publish all the time in an open loop.
//  2. In rounds, each in another order, take each approach once: open its viewers, let
//     them settle, and for one window count what goes over their connections and what
//     processor time the bridge and this process use; then wait until each has what
//     the broker took (of approaches that leave out what a newer one replaces nobody can
//     count that: for a while), and close them. One part of each round has no viewers: what it takes is
//     taken off the others.
//  3. Judge by the records that every approach showed everything.
//
// A system other than bridged is asked for the approach that its descriptor names, for the
// same with compression where it claims that, and over HTTP/2 where it offers it.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/octets"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
)

var _ = spec.Describe("Approaches", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "approaches", Title: "shows every reading by every approach that it offers, whatever each costs",
		Requirements: []string{"APP-01"}, Loads: []string{"approaches"}, Timeout: approachesTimeout,
		Drive: driveApproaches, Judge: judgeApproaches,
	})
})

const (
	// approachesTimeout is more than all approaches take in the longest of loads.
	approachesTimeout = 40 * time.Minute
	// approachTail is how long what was published in a window may be on its way, beside what the approach itself lets it wait.
	approachTail = 700 * time.Millisecond
)

// approachFacts is what the drive counted.
type approachFacts struct {
	Cores      int               `json:"cores"`
	Approaches []approachFact    `json:"approaches"`
	Parts      []approachPart    `json:"parts"`
	LeftOut    map[string]string `json:"left_out,omitempty"` // by approach: why this system does not have it
	Headers    http.Header       `json:"headers"`            // of every request
	Load       profile.Load      `json:"load"`
}

// approachFact is an approach as the drive took it.
type approachFact struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Conflates bool   `json:"conflates,omitempty"` // it may leave out what a newer one replaces, and counts that
}

// approachPart is one approach in one round.
type approachPart struct {
	Approach string          `json:"approach"` // "" for the part without viewers
	Round    int             `json:"round"`
	Window   string          `json:"window"`
	Viewers  []string        `json:"viewers"`
	Opened   int64           `json:"opened_ns"` // of the window, on the run clock
	Closed   int64           `json:"closed_ns"`
	Left     int64           `json:"left_ns"` // when the viewers did no more wait for what is missing
	Wire     octets.Counts   `json:"wire"`    // within the window
	Session  octets.Counts   `json:"session"` // from the first connection to the last close
	Seen     viewer.Counters `json:"seen"`    // by all viewers, within the window
	// By viewer: readings that it had been told were left out for something newer, when the window opened and when it left.
	ToldBefore map[string]uint64 `json:"told_before,omitempty"`
	Told       map[string]uint64 `json:"told,omitempty"`
	Bridge     time.Duration     `json:"bridge_cpu_ns"`
	Client     time.Duration     `json:"client_cpu_ns"`
	Over       time.Duration     `json:"over_ns"` // for which CPU was counted; 0 where it cannot be
}

// approaching is the scenario at work.
type approaching struct {
	*harness.Bench
	t     *spec.Trial
	load  profile.Load
	facts approachFacts
}

func driveApproaches(ctx context.Context, t *spec.Trial) {
	l := t.Load("approaches")
	quiet := l
	quiet.Viewers = 0 // each part opens its own
	t.Step("start the bridge; %d devices publish %.0f messages/s", l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: quiet, Floor: true, Config: approachesConfig()})
	list, leftOut, err := approachesOf(t.Rig, b)
	t.Check(err)
	x := &approaching{Bench: b, t: t, load: l, facts: approachFacts{Cores: runtime.NumCPU(), LeftOut: leftOut, Load: l, Headers: browserHeader()}}
	if !t.Rig.Bundled() {
		x.facts.Headers.Set("Accept-Encoding", "identity") // bridged compresses no answers; another may
	}
	for _, a := range list {
		x.facts.Approaches = append(x.facts.Approaches, approachFact{a.id, a.name, a.conflates})
	}
	t.Step("%d rounds of %d approaches, %d viewers each for %s, and one part without any", l.Cycles, len(list), l.Viewers, l.Window)
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		for round := range l.Cycles {
			if err := x.round(ctx, round+1, list); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge what was shown")
	t.Keep(x.facts)
	t.Check(b.Finish(ctx))
}

// round takes each approach once, and the part without viewers. Every other round goes
// the other way, each begins elsewhere: what changes slowly meets all alike.
func (x *approaching) round(ctx context.Context, number int, list []approach) error {
	order := append([]approach{{}}, list...)
	if number%2 == 0 {
		slices.Reverse(order)
	}
	first := (number - 1) * len(order) / max(x.load.Cycles, 1)
	for i := range order {
		if err := x.part(ctx, number, order[(first+i)%len(order)]); err != nil {
			return err
		}
	}
	return nil
}

// part measures one approach once.
func (x *approaching) part(ctx context.Context, round int, a approach) error {
	p := approachPart{Approach: a.id, Round: round, Window: fmt.Sprintf("%s-%d", a.id, round), Viewers: []string{}}
	meter := octets.New(a.secure)
	all, err := x.open(ctx, a, round, meter)
	if err != nil {
		return fmt.Errorf("approach %q, round %d: %w", a.id, round, err)
	}
	for _, v := range all {
		p.Viewers = append(p.Viewers, v.name)
	}
	if err := harness.Wait(ctx, x.load.WarmUp+a.every); err != nil {
		return err
	}
	burdens := x.Burdens(ctx)
	wire, seen := meter.Counts(), countersOf(all)
	p.ToldBefore = conflatedOf(all)
	p.Opened = x.Clock.Now()
	if err := harness.Wait(ctx, x.load.Window); err != nil {
		return err
	}
	p.Closed = x.Clock.Now()
	p.Wire, p.Seen = meter.Counts().Minus(wire), less(countersOf(all), seen)
	p.spent(burdens(ctx))
	if a.id != "" {
		x.Mark(p.Window, p.Opened, p.Closed)
	}
	if err := x.await(ctx, a, p.Closed); err != nil {
		return err
	}
	p.Left = x.Clock.Now()
	p.Told = conflatedOf(all)
	err = x.leave(all)
	p.Session = meter.Counts()
	x.facts.Parts = append(x.facts.Parts, p)
	return err
}

// await waits for what was published in a window that is closed. What is missing then is for the oracle to judge.
func (x *approaching) await(ctx context.Context, a approach, closed int64) error {
	if !a.conflates {
		if err := x.Fresh(ctx, x.load.Drain); err != nil {
			return err
		}
	}
	tail := a.every + approachTail
	rest := tail - time.Duration(x.Clock.Now()-closed)
	if rest <= 0 {
		rest = tail // something stood still: what is behind it gets as long as ever
	}
	return harness.Wait(ctx, rest)
}

// spent takes the processor time of the bridge and of this process over.
func (p *approachPart) spent(burdens []harness.Burden) {
	for _, b := range burdens {
		switch b.Part {
		case "bridge":
			p.Bridge, p.Over = b.CPU, b.Over
		case "harness":
			p.Client = b.CPU
		}
	}
}

// named is a viewer with its name.
type named struct {
	*viewer.Viewer
	name string
}

// open opens the viewers of a part, one after the other over the time that one of them
// waits between two requests, so that they do not all ask at once.
func (x *approaching) open(ctx context.Context, a approach, round int, meter *octets.Meter) ([]named, error) {
	if a.id == "" {
		return nil, nil
	}
	var all []named
	for i := range x.load.Viewers {
		cfg := harness.ViewerConfig(x.Bench, fmt.Sprintf("%s-%d-%02d", a.id, round, i+1))
		cfg.TLS, cfg.Dial, cfg.Header = octets.Config(cfg.TLS), meter.DialContext, x.facts.Headers
		a.set(&cfg)
		v, err := x.AddViewer(ctx, cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, named{v, cfg.Name})
		if err := harness.Wait(ctx, a.every/time.Duration(x.load.Viewers)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// leave closes the viewers, all at once.
func (x *approaching) leave(all []named) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, v := range all {
		x.RemoveViewer(v.Viewer)
		group.Go(func() { errs[i] = v.Close() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// countersOf sums what viewers count that figures are made of.
func countersOf(all []named) (sum viewer.Counters) {
	for _, v := range all {
		sum = plus(sum, v.Counters())
	}
	return sum
}

// plus adds two counts of what figures are made of.
func plus(a, b viewer.Counters) viewer.Counters {
	return viewer.Counters{
		Messages: a.Messages + b.Messages, Bytes: a.Bytes + b.Bytes, Saved: a.Saved + b.Saved, Conflated: a.Conflated + b.Conflated,
		Requests: a.Requests + b.Requests, Sent: a.Sent + b.Sent, SentBytes: a.SentBytes + b.SentBytes,
	}
}

// conflatedOf is what each viewer was told so far to be left out.
func conflatedOf(all []named) map[string]uint64 {
	told := map[string]uint64{}
	for _, v := range all {
		told[v.name] = v.Counters().Conflated
	}
	return told
}

// less is what countersOf counted since.
func less(now, before viewer.Counters) viewer.Counters {
	return viewer.Counters{
		Messages: now.Messages - before.Messages, Bytes: now.Bytes - before.Bytes, Saved: now.Saved - before.Saved, Conflated: now.Conflated - before.Conflated,
		Requests: now.Requests - before.Requests, Sent: now.Sent - before.Sent, SentBytes: now.SentBytes - before.SentBytes,
	}
}

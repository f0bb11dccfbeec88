package harness

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/devices/simulated"
	"plumbline/harness/browser"
	"plumbline/harness/generator"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// burstEvery is how many devices there are to one that publishes in
// micro-bursts. Bursts find reordering; too many of them would leave few
// instants that are independent of each other, and so little to say about tails.
const burstEvery = 10

// startDevices lets the generator open the declared sources, or make the fleet,
// and connects them.
func (b *Bench) startDevices(ctx context.Context) error {
	cfg := b.line()
	if len(b.plan.Sources) > 0 {
		opened, err := openSources(ctx, b, b.plan.Sources)
		b.sources = opened
		if err != nil {
			return err
		}
		cfg.Devices = opened.ordered()
	} else {
		cfg.Fleet = &generator.Fleet{
			Devices: max(b.plan.Load.Devices, 1), Rate: b.plan.Load.Rate, Burst: b.plan.Load.Burst, BurstEvery: burstEvery,
			QoS: 1, Retain: b.plan.Retain, Root: TopicRoot, Pad: b.plan.Payload,
		}
		if b.plan.QoS0 {
			cfg.Fleet.QoS = 0
		}
	}
	infos, err := b.Generator.Open(ctx, cfg)
	if err != nil {
		return benchless(err)
	}
	if b.sources != nil {
		b.sources.opened(infos)
	}
	return b.unreachable(ctx, b.Generator.Connect(ctx))
}

// benchless marks a device that the generator could not open.
func benchless(err error) error {
	if errors.Is(err, generator.ErrDevice) {
		return fmt.Errorf("%w: %w", ErrBench, err)
	}
	return err
}

// line says how devices reach the broker, without the devices.
func (b *Bench) line() generator.Config {
	cfg := generator.Config{
		Recorder: b.Recorder, Resolver: b.resolver, Broker: b.SUT.Broker(), Version: b.SUT.BrokerVersion(), CA: b.SUT.BrokerCA(),
		Run: b.run, Seed: b.rig.cfg.Seed, Sequence: b.SUT.Has("exactly-once"), Reconnect: 50 * time.Millisecond,
	}
	cfg.Username, cfg.Password = b.SUT.BrokerAuth()
	if b.BrokerProxy == nil {
		cfg.Hosts = b.SUT.Brokers()
	} else {
		cfg.Via = b.BrokerProxy.Addr()
		if b.plan.Packets && b.proxyCA != nil {
			cfg.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.proxyCA.Certificate()})
		}
	}
	return cfg
}

// Topic returns where the harness publishes the samples of a device.
func Topic(device string) string { return TopicRoot + "/" + device }

// Window drives the devices for warmUp and then for length, which is the
// judged window of that name. It returns early when the system under test ends
// unasked.
func (b *Bench) Window(ctx context.Context, name string, warmUp, length time.Duration) error {
	opened := b.Clock.Now() + int64(warmUp)
	err := b.Drive(ctx, warmUp+length, nil)
	closed := min(opened+int64(length), b.Clock.Now())
	b.Mark(name, opened, closed)
	return err
}

// Around drives the devices while action runs, and lead before and tail after
// it; the whole is the judged window of that name.
func (b *Bench) Around(ctx context.Context, name string, lead, tail time.Duration, action func(ctx context.Context) error) error {
	opened := b.Clock.Now()
	err := b.Drive(ctx, 0, func(ctx context.Context) error {
		if err := Wait(ctx, lead); err != nil {
			return err
		}
		if err := action(ctx); err != nil {
			return err
		}
		return Wait(ctx, tail)
	})
	b.Mark(name, opened, b.Clock.Now())
	return err
}

// Mark declares the time from opened to closed, on the run clock, as a judged
// window of that name.
func (b *Bench) Mark(name string, opened, closed int64) {
	b.Recorder.Event(record.Event{At: opened, Kind: record.WindowOpen, Subject: name})
	b.Recorder.Event(record.Event{At: closed, Kind: record.WindowClose, Subject: name})
}

// Drive runs the devices for length, or, when action is not nil, until action
// returns. A system under test that ends unasked ends it early.
func (b *Bench) Drive(ctx context.Context, length time.Duration, action func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := b.watch(ctx, cancel)
	defer func() { cancel(nil); <-watched }()
	if action == nil {
		return b.blame(cause(ctx, b.generate(ctx, length)))
	}
	runCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- b.generate(runCtx, 24*time.Hour) }()
	var generated error
	acted := func() error {
		defer func() { stop(); generated = <-done }() // also when an assertion in action panics
		return action(ctx)
	}()
	return b.blame(errors.Join(cause(ctx, acted), cause(ctx, ended(generated))))
}

// generate runs whatever devices the bench has.
func (b *Bench) generate(ctx context.Context, length time.Duration) error {
	if b.sources == nil {
		return b.Generator.Run(ctx, length)
	}
	return b.sources.run(ctx, b.Generator, length)
}

// watch cancels when the system under test or the generator ends unasked. The returned channel
// is closed when it has stopped watching.
func (b *Bench) watch(ctx context.Context, cancel context.CancelCauseFunc) <-chan struct{} {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
		case <-b.SUT.Exited():
			cancel(b.SUT.Err())
		case <-b.Generator.Done():
			cancel(b.Generator.Err())
		}
	}()
	return stopped
}

// cause puts the reason of a cancellation in place of "context canceled".
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		if why := context.Cause(ctx); !errors.Is(why, context.Canceled) {
			return why
		}
	}
	return err
}

// ended drops the error that stopping on purpose gives.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Wait waits for d or the end of ctx, whose error it returns.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Until waits until ready returns true. It asks every 5 ms; when limit is over
// or ctx ends first, the error says what was waited for.
func Until(ctx context.Context, limit time.Duration, what string, ready func() bool) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ready() {
		if err := Wait(limited, 5*time.Millisecond); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("harness: waited %s in vain: %s", limit, what)
		}
	}
	return nil
}

// Drain waits until everything published has been acknowledged and has reached
// every viewer, at most for the plan's drain time: what is missing then is
// missing. It stamps the end of the drain.
func (b *Bench) Drain(ctx context.Context) error {
	if err := b.Arrived(ctx); err != nil {
		return b.blame(err)
	}
	b.Recorder.Event(record.Event{Kind: record.DrainEnd, Subject: b.plan.Name})
	return nil
}

// settled is for how long nothing may come until nothing is on its way any more.
const settled = 100 * time.Millisecond

// Arrived waits until nothing is on its way any more, at most for the plan's
// drain time. It fails only when ctx ends: what is missing then is for the
// oracles to judge.
func (b *Bench) Arrived(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, max(b.plan.Load.Drain, time.Second))
	defer cancel()
	if err := b.Generator.WaitAcked(limited); errors.Is(err, generator.ErrDied) {
		return err
	} else if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	accepted := b.accepted(ctx)
	others := b.arrivedAfar(limited, accepted, 0, settled)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, i := range others {
		if b.Viewers[i].WaitDistinct(limited, accepted.since(b.before[i])) != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	// A moment longer, so that a duplicate behind the last message is seen: the
	// same moment for all.
	var idle sync.WaitGroup
	for _, i := range others {
		idle.Go(func() { _ = b.Viewers[i].WaitIdle(limited, settled) }) // who is never idle is waited for long enough
	}
	idle.Wait()
	return ctx.Err()
}

// Fresh waits until every viewer has more than the broker had taken when Fresh was called, so that each has seen something of the time
// after it; at most for limit. It fails only when ctx ends: who stays behind is for the oracles to judge.
func (b *Bench) Fresh(ctx context.Context, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	accepted := b.accepted(ctx)
	for _, i := range b.arrivedAfar(limited, accepted, 1, 0) {
		if b.Viewers[i].WaitDistinct(limited, accepted.since(b.before[i])+1) != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// Peek returns what was recorded so far, once everything on its way has
// arrived. Nothing is ended; the recording goes on.
func (b *Bench) Peek(ctx context.Context) (*oracle.History, error) {
	if err := b.Arrived(ctx); err != nil {
		return nil, b.blame(err)
	}
	for _, v := range b.Viewers {
		if p, isPage := v.(*browser.Page); isPage {
			if err := p.Peek(ctx); err != nil {
				return nil, b.blame(err)
			}
		}
	}
	// The recorder writes ten times a second.
	if err := Wait(ctx, 300*time.Millisecond); err != nil {
		return nil, err
	}
	if err := b.fetchAgents(ctx); err != nil {
		return nil, err
	}
	log, err := loadAll(b.dir, b.agents, b.pages)
	if err != nil {
		return nil, fmt.Errorf("harness: scenario %q: %w", b.plan.Name, err)
	}
	return oracle.Index(log)
}

// Finish drains and ends everything, so that the recording is whole and can be
// judged. It may be called again and returns the same.
func (b *Bench) Finish(ctx context.Context) error {
	b.finishing.Do(func() {
		for _, step := range []func() error{
			b.SUT.Err, func() error { return b.Drain(ctx) }, b.witnessed, b.Close, b.SUT.Err, // it may die while everything drains
		} {
			if b.finished = b.blame(step()); b.finished != nil {
				return
			}
		}
	})
	return b.finished
}

// witnessed tells of a broker that did not let the witness see the run to its
// end: what reached the broker is not known then.
func (b *Bench) witnessed() error {
	if err := b.Witness.Err(); err != nil {
		return fmt.Errorf("%w: %w", sut.ErrUnavailable, err)
	}
	return nil
}

// clockCost returns what a reading of the clock costs at best of a few trials:
// what a busy machine adds is no property of the clock.
func clockCost(c *record.Clock) time.Duration {
	best := c.ReadCost()
	for range 9 {
		best = min(best, c.ReadCost())
	}
	return best
}

// Devices describes every source that took part.
func (b *Bench) Devices() []reports.Device {
	if b.sources != nil {
		return b.sources.describe(b.Generator.Report().Damaged)
	}
	fleet, err := simulated.Fleet(max(b.plan.Load.Devices, 1), b.rig.cfg.Seed, simulated.FleetOptions{})
	if err != nil {
		return nil // Open made the same fleet
	}
	out := make([]reports.Device, 0, len(fleet))
	for _, twin := range fleet {
		info := twin.Info()
		out = append(out, reports.Device{ID: info.ID, Kind: info.Kind, Mode: reports.Mode(info.Mode), Detail: info.Model})
	}
	return out
}

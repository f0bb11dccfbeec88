package sidebyside

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"plumbline/harness"
	"plumbline/harness/capacity"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// part is one system in one round.
type part struct {
	rig     *harness.Rig
	load    reports.BesideLoad
	rnd     *rand.Rand
	figures reports.BesidePart
	version string // as the system told it
}

// measure takes everything that is measured of a system, each on a fresh start of it. What
// the system itself failed in never came about: such an error wraps sut.ErrUnavailable, and
// the rest is measured all the same.
func (p *part) measure(ctx context.Context) error {
	nan := reports.Float(math.NaN())
	f := &p.figures
	f.LatencyP50, f.LatencyP99, f.CPU, f.Memory, f.Storm, f.Back = nan, nan, nan, nan, nan, nan
	var failed error
	for _, one := range []struct {
		step  func(context.Context) error
		gives []*reports.Float
	}{
		{p.steady, []*reports.Float{&f.LatencyP50, &f.LatencyP99}}, {p.crowded, []*reports.Float{&f.Storm}}, {p.killed, []*reports.Float{&f.Back}},
	} {
		err := one.step(ctx)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, sut.ErrUnavailable)) {
			return err
		}
		if err != nil {
			failed = errors.Join(failed, err)
			for _, figure := range one.gives {
				*figure = reports.Float(math.Inf(1))
			}
		}
	}
	return failed
}

// open starts the system with so many viewers. What is on its way in the end is waited for as long as drain.
func (p *part) open(ctx context.Context, name string, rate float64, viewers int, drain time.Duration) (*harness.Bench, error) {
	return p.rig.Open(ctx, harness.Plan{Name: name, Sample: time.Hour, Load: profile.Load{
		Devices: p.load.Devices, Rate: rate, Viewers: viewers, Burst: 1, Drain: drain,
	}})
}

// steady measures latency and processor time in steady operation.
func (p *part) steady(ctx context.Context) error {
	l := p.load
	point, err := capacity.Measure(ctx, p.rig, "steady", capacity.Load{
		Devices: l.Devices, Rate: l.Rate, Viewers: l.Viewers, WarmUp: l.WarmUp, Window: l.Window,
	})
	if err != nil {
		return err
	}
	p.version = point.Version
	f := &p.figures
	f.Deliveries, f.Hiccup, f.CPU = point.Deliveries, reports.Float(point.Hiccup), reports.Float(point.PerDelivery())
	f.LatencyP50, f.LatencyP99 = reports.Float(point.P50), reports.Float(point.P99)
	return nil
}

// finish ends a bench and reads what it recorded. An error before that ends it too.
func finish(ctx context.Context, b *harness.Bench, err error) (*harness.Recorded, *oracle.History, error) {
	if err == nil {
		err = b.Finish(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	r, err := b.Recorded()
	if err != nil {
		return nil, nil, err
	}
	h, err := r.History()
	return r, h, err
}

// of narrows what an oracle looks at to a window.
func of(r *harness.Recorded, window string) oracle.Options {
	o := r.Options("")
	o.Window = window
	return o
}

// lastBack returns when the last of n viewers had fresh data after the loss of its
// connection, as a time since from: +Inf when one of them never had.
func lastBack(list []oracle.Resumption, n int, from int64) reports.Float {
	back := map[string]int64{}
	for _, r := range list {
		back[r.Viewer] = r.Fresh // of several the last counts
	}
	last := int64(0)
	for _, at := range back {
		if at == 0 {
			return reports.Float(math.Inf(1))
		}
		last = max(last, at)
	}
	if len(back) < n {
		return reports.Float(math.Inf(1))
	}
	return reports.Float(float64(last-from) / 1e6)
}

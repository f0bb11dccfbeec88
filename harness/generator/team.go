package generator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/harness/load"
)

// Team is several generators that share one fleet, so that its devices may outnumber the
// descriptors of one process. The first also opens what Config.Devices orders and has the
// hands: what a method does that Team has not itself, it does. A method fails as soon as
// one of them does.
type Team struct {
	*Generator
	others []*Generator
	done   chan struct{}
	group  sync.WaitGroup
}

// StartTeam launches n generators, one at least; see Start. All of them go on with one
// clock, that of the bench.
func StartTeam(opts Options, n int) (*Team, error) {
	first, err := Start(opts)
	if err != nil {
		return nil, err
	}
	t := &Team{Generator: first, done: make(chan struct{})}
	for range n - 1 {
		g, err := Start(opts)
		if err != nil {
			return nil, errors.Join(err, t.watched().Close())
		}
		t.others = append(t.others, g)
	}
	return t.watched(), nil
}

// watched begins to wait for the end of any.
func (t *Team) watched() *Team {
	var once sync.Once
	for _, g := range t.all() {
		t.group.Go(func() { <-g.Done(); once.Do(func() { close(t.done) }) })
	}
	return t
}

func (t *Team) all() []*Generator { return append([]*Generator{t.Generator}, t.others...) }

// each does something with all of them at once. The first failure ends the rest, and is
// what it returns.
func (t *Team) each(ctx context.Context, do func(ctx context.Context, g *Generator) error) error {
	if len(t.others) == 0 {
		return do(ctx, t.Generator)
	}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, g := range t.all() {
		group.Go(func() {
			if err := do(limited, g); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return context.Cause(limited)
}

// Open does as Generator.Open, with a share of the fleet for each.
func (t *Team) Open(ctx context.Context, cfg Config) ([]devices.Info, error) {
	shares, err := cfg.Fleet.shares(len(t.others) + 1)
	if err != nil {
		return nil, err
	}
	var infos []devices.Info
	for i, g := range t.all() {
		own := cfg
		own.Fleet = shares[i]
		if len(t.others) > 0 {
			own.Local = fmt.Sprintf("127.0.0.%d", 1+i%250)
		}
		if i > 0 {
			own.Devices = nil
		}
		opened, err := g.Open(ctx, own)
		if err != nil {
			return nil, err
		}
		infos = append(infos, opened...)
	}
	return infos, nil
}

// Connect does as Generator.Connect.
func (t *Team) Connect(ctx context.Context) error {
	return t.each(ctx, func(ctx context.Context, g *Generator) error { return g.Connect(ctx) })
}

// Run does as Generator.Run.
func (t *Team) Run(ctx context.Context, length time.Duration) error {
	return t.each(ctx, func(ctx context.Context, g *Generator) error { return g.Run(ctx, length) })
}

// WaitAcked does as Generator.WaitAcked.
func (t *Team) WaitAcked(ctx context.Context) error {
	return t.each(ctx, func(ctx context.Context, g *Generator) error { return g.WaitAcked(ctx) })
}

// Health returns the totals of all; SlipMax is the largest.
func (t *Team) Health(ctx context.Context) (load.Health, error) {
	var sum load.Health
	for _, g := range t.all() {
		h, err := g.Health(ctx)
		if err != nil {
			return sum, err
		}
		sum.Add(h)
	}
	return sum, nil
}

// Taken does as Generator.Taken.
func (t *Team) Taken() (sent, acked int64) {
	for _, g := range t.all() {
		s, a := g.Taken()
		sent, acked = sent+s, acked+a
	}
	return sent, acked
}

// Streams does as Generator.Streams.
func (t *Team) Streams() (streams []uint32) {
	for _, g := range t.all() {
		streams = append(streams, g.Streams()...)
	}
	return streams
}

// Reports says how each of them fared, the first one first.
func (t *Team) Reports() (reports []Report) {
	for _, g := range t.all() {
		reports = append(reports, g.Report())
	}
	return reports
}

// Done is closed when one of them has ended.
func (t *Team) Done() <-chan struct{} { return t.done }

// Err returns how one of them died, see Generator.Err.
func (t *Team) Err() error {
	for _, g := range t.all() {
		if err := g.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Close does as Generator.Close.
func (t *Team) Close() error {
	all := t.all()
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, g := range all {
		group.Go(func() { errs[i] = g.Close() })
	}
	group.Wait()
	t.group.Wait()
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// shares deals the devices of a fleet out, each getting as many as the others or one more.
// Every device keeps its name, values and rate. Of no fleet all have none.
func (f *Fleet) shares(n int) ([]*Fleet, error) {
	shares := make([]*Fleet, n)
	if f == nil {
		return shares, nil
	}
	if n > f.Devices {
		return nil, fmt.Errorf("generator: %d devices for %d generators: one each at least", f.Devices, n)
	}
	for i := range shares {
		own := *f
		own.First = i * f.Devices / n
		own.Count = (i+1)*f.Devices/n - own.First
		shares[i] = &own
	}
	return shares, nil
}

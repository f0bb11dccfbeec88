package sidebyside

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness"
	"plumbline/harness/capacity"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

const (
	atOnce  = 16                     // viewers that connect at a time, but for the storm
	looks   = 5                      // at memory, of which the least counts: a collector lets it rise and fall
	between = 100 * time.Millisecond // two of them
	patient = 20 * time.Second       // with one viewer
)

// crowd are viewers that the bench does not wait for.
type crowd struct {
	b   *harness.Bench
	mu  sync.Mutex // of all
	all []*viewer.Viewer
}

// crowded measures what each of many viewers costs in memory, and how long it takes
// until all are back that are cut off at once.
func (p *part) crowded(ctx context.Context) error {
	b, err := p.open(ctx, "crowded", p.load.Calm, 1, capacity.Drain)
	if err != nil {
		return err
	}
	c := &crowd{b: b}
	var cut int64
	err = b.Drive(ctx, 0, func(ctx context.Context) error {
		before, err := c.memory(ctx, p.load.Settle)
		if err != nil {
			return err
		}
		if err := c.gather(ctx, p.load.Crowd); err != nil {
			return err
		}
		with, err := c.memory(ctx, p.load.Settle)
		if err != nil {
			return err
		}
		p.figures.Memory = reports.Float(max(float64(with)-float64(before), 0) / 1024 / float64(p.load.Crowd))
		cut = b.Clock.Now()
		err = c.storm(ctx, p.load.Calm)
		b.Mark("storm", cut, b.Clock.Now())
		return err
	})
	c.disperse()
	r, h, err := finish(ctx, b, err)
	if err != nil {
		return err
	}
	o := of(r, "storm")
	for i := range p.load.Crowd {
		o.Viewers = append(o.Viewers, crowdName(i))
	}
	p.figures.Storm = lastBack(h.Resumptions(o), p.load.Crowd, cut)
	return nil
}

func crowdName(i int) string { return fmt.Sprintf("crowd-%04d", i+1) }

// memory is what the processes of the system take once nothing has changed for a while.
func (c *crowd) memory(ctx context.Context, settle time.Duration) (least uint64, err error) {
	if err := harness.Wait(ctx, settle); err != nil {
		return 0, err
	}
	for range looks {
		u, err := c.b.SUT.Usage(ctx)
		if err != nil {
			return 0, err
		}
		if least == 0 || u.RSS < least {
			least = u.RSS
		}
		if err := harness.Wait(ctx, between); err != nil {
			return 0, err
		}
	}
	return least, nil
}

// gather connects n viewers.
func (c *crowd) gather(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(atOnce, n) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := c.add(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (c *crowd) add(ctx context.Context, i int) error {
	limited, stop := context.WithTimeoutCause(ctx, patient, fmt.Errorf("viewer %d was not let in within %v", i+1, patient))
	defer stop()
	cfg := harness.ViewerConfig(c.b, crowdName(i))
	cfg.Reconnect.Seed = uint64(i)
	v, err := viewer.Open(limited, cfg)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("sidebyside: %w: %w", sut.ErrUnavailable, err)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, v)
	return nil
}

// storm cuts all connections at once and waits, each time for comeback at most, until all
// are back and until each has had more than what may have been published since the cut:
// one at least of it is fresh. Who has nothing then is for the records to tell. calm is the
// rate of what is published.
func (c *crowd) storm(ctx context.Context, calm float64) error {
	cut := time.Now()
	for _, v := range c.all {
		v.Cut()
	}
	away := func(v *viewer.Viewer) bool { return v.Counters().Connects < 2 || !v.Connected() }
	_ = harness.Until(ctx, comeback, "all viewers are back", func() bool { return !slices.ContainsFunc(c.all, away) })
	missed, had := uint64(2*calm*time.Since(cut).Seconds())+2, map[*viewer.Viewer]uint64{}
	for _, v := range c.all {
		had[v] = v.Counters().Received
	}
	behind := func(v *viewer.Viewer) bool { return v.Counters().Received <= had[v]+missed }
	_ = harness.Until(ctx, comeback, "fresh data at all viewers", func() bool { return !slices.ContainsFunc(c.all, behind) })
	return ctx.Err()
}

// disperse closes all.
func (c *crowd) disperse() {
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, v := range c.all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_ = v.Close() // it is over in any case
		})
	}
	group.Wait()
}

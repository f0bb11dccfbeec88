package sut

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// Usage is what the processes, and on Linux all that descend from them, use of
// the machine at one moment, summed.
type Usage struct {
	At      time.Time
	CPU     time.Duration // user and system time of the present processes since their start
	RSS     uint64        // bytes
	Files   int           // open file descriptors, -1 where they cannot be counted
	Threads int
}

// Usage samples now. Without a running process the error wraps ErrUnavailable.
func (s *SUT) Usage(ctx context.Context) (Usage, error) {
	u := Usage{At: time.Now()}
	seen := 0
	for _, c := range s.processes() {
		if c == nil || !c.running() {
			continue
		}
		for i, pid := range family(int32(c.process.Pid)) {
			if err := u.add(ctx, pid); err != nil {
				if i > 0 || !c.running() {
					continue // it ended while it was looked at
				}
				return Usage{}, fmt.Errorf("sut: usage of %q: %w", c.spec.Name, err)
			}
			seen++
		}
	}
	if seen == 0 {
		return Usage{}, fmt.Errorf("sut: usage of %q: %w: no process of it runs here", s.source.Name, ErrUnavailable)
	}
	return u, nil
}

// UsageOf samples one process of this machine now.
func UsageOf(ctx context.Context, pid int) (Usage, error) {
	u := Usage{At: time.Now()}
	if err := u.add(ctx, int32(pid)); err != nil {
		return Usage{}, fmt.Errorf("sut: usage of process %d: %w", pid, err)
	}
	return u, nil
}

func (u *Usage) add(ctx context.Context, pid int32) error {
	p, err := process.NewProcessWithContext(ctx, pid)
	if err != nil {
		return err
	}
	used, fine := cpuTime(pid)
	if !fine {
		times, err := p.TimesWithContext(ctx)
		if err != nil {
			return err
		}
		used = time.Duration((times.User + times.System) * float64(time.Second))
	}
	memory, err := p.MemoryInfoWithContext(ctx)
	if err != nil {
		return err
	}
	threads, err := p.NumThreadsWithContext(ctx)
	if err != nil {
		return err
	}
	u.CPU += used
	u.RSS += memory.RSS
	u.Threads += int(threads)
	if files, err := p.NumFDsWithContext(ctx); err == nil && u.Files >= 0 {
		u.Files += int(files)
	} else {
		u.Files = -1
	}
	return nil
}

// Usages returns the samples taken so far, oldest first; none when
// Options.SampleEvery is 0.
func (s *SUT) Usages() []Usage {
	if s.sampler == nil {
		return nil
	}
	return s.sampler.all()
}

// sampler takes a sample at every tick until it is closed.
type sampler struct {
	*ticking
	mu    sync.Mutex
	taken []Usage
}

// maxSamples bounds the memory of a sampler; later samples are dropped.
const maxSamples = 100_000

func newSampler(sample func(context.Context) (Usage, error), every time.Duration) *sampler {
	p := &sampler{}
	p.ticking = startTicking(every, func(ctx context.Context) {
		u, err := sample(ctx)
		if err != nil {
			return // between two incarnations there is nothing to sample
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.taken) < maxSamples {
			p.taken = append(p.taken, u)
		}
	})
	return p
}

func (p *sampler) all() []Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken)
}

// ticking does something at every tick until it is closed.
type ticking struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func startTicking(every time.Duration, do func(context.Context)) *ticking {
	ctx, cancel := context.WithCancel(context.Background())
	t := &ticking{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				do(ctx)
			}
		}
	}()
	return t
}

// close ends it and waits until nothing is done any more. It may be called again.
func (t *ticking) close() {
	t.cancel()
	<-t.done
}

package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/harness/record"
)

const (
	// startAfter is the time from Run to the first possible instant: enough to
	// have the first messages ready.
	startAfter = 50 * time.Millisecond
	// lookAhead is how long before its instant a sample is taken and encoded at
	// most, so that the metronome has nothing to do but to write. Samples are
	// taken in batches of half of it: one wake-up for many messages.
	lookAhead = 100 * time.Millisecond
	// readyMessages is how many messages may be ready at a time.
	readyMessages = 512
	// lateBy is the lateness of the metronome that Health counts.
	lateBy = time.Millisecond
)

// prepared is a message waiting for its instant.
type prepared struct {
	Message
	publisher *Publisher
}

// ErrRunning says that a generator runs already.
var ErrRunning = errors.New("load: the generator runs already")

// Run drives the sources for the given time and returns when the last message
// due in it was handed over. The positions in the streams go on from run to
// run. It returns early only with the error of ctx; then nothing more is sent.
//
// The messages of up to 100 ms are sampled and encoded ahead by another
// goroutine: a device whose reading takes longer than that moves nothing, but
// then its messages are late, which the slip shows.
func (g *Generator) Run(ctx context.Context, length time.Duration) error {
	run, err := g.begin()
	if err != nil {
		return err
	}
	defer g.end()
	if len(g.sources) == 0 {
		return fmt.Errorf("load: nothing to run: the generator has no sources")
	}
	ctx, cancel := context.WithCancel(ctx)
	start := g.cfg.Recorder.Clock().Now() + int64(startAfter)
	ready := make(chan prepared, readyMessages)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(ready)
		g.prepare(ctx, run, start, length, ready)
	})
	err = g.beat(ctx, ready)
	cancel()
	group.Wait()
	return err
}

// begin claims the generator for one run and numbers it.
func (g *Generator) begin() (run uint64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running {
		return 0, ErrRunning
	}
	g.running = true
	g.runs++
	return g.runs, nil
}

func (g *Generator) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = false
}

// prepare takes the samples in the order of the plan, a little ahead of it.
func (g *Generator) prepare(ctx context.Context, run uint64, start int64, length time.Duration, ready chan<- prepared) {
	schedules := make([]Schedule, len(g.sources))
	for i, s := range g.sources {
		schedules[i] = s.schedule(g.cfg.Seed, run)
	}
	clock := g.cfg.Recorder.Clock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for plan := newPlan(schedules); ; {
		next := plan.pop()
		if next.at >= length {
			return
		}
		due := start + int64(next.at)
		if ahead := time.Duration(due - clock.Now()); ahead > lookAhead {
			timer.Reset(ahead - lookAhead/2)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case ready <- g.message(next.source, due):
		case <-ctx.Done():
			return
		}
	}
}

// message samples a source for an instant.
func (g *Generator) message(i int, due int64) prepared {
	s := g.sources[i]
	s.seq++
	sample := s.Device.Sample(s.seq, time.Duration(due))
	payload := record.Encode(g.cfg.Run, s.Device.Info().ID, s.seq, sample.Values)
	return prepared{publisher: g.publishers[i], Message: Message{
		Stream: s.stream, Seq: s.seq, Due: due, Topic: s.Topic, Payload: payload,
		QoS: s.QoS, Retain: s.Retain, Digest: g.cfg.Recorder.Digest(payload),
	}}
}

// beat is the metronome: it hands every message over at its instant.
func (g *Generator) beat(ctx context.Context, ready <-chan prepared) error {
	clock := g.cfg.Recorder.Clock()
	m := newMetronome(clock, true)
	defer m.stop()
	for p := range ready {
		if err := m.wait(ctx, p.Due); err != nil {
			return err
		}
		slip := time.Duration(clock.Now() - p.Due)
		p.publisher.Send(p.Message)
		if slip > lateBy {
			g.late(slip)
		}
	}
	return ctx.Err()
}

func (g *Generator) late(slip time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slipAbove++
	g.slipMax = max(g.slipMax, slip)
}

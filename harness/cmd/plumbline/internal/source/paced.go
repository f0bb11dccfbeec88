package source

import (
	"context"
	"sync"
	"time"

	"plumbline/devices"
)

// paced lets a scheduled source speak in its own time, as a streaming device
// does. It starts no goroutine: Read waits for the next instant.
type paced struct {
	from  devices.Scheduled
	seed  uint64
	clock devices.Clock

	mu     sync.Mutex
	seq    uint64
	closed chan struct{}
	once   sync.Once
}

// pace returns from as a Device whose schedule begins now.
func pace(from devices.Scheduled, seed uint64) devices.Device {
	start := time.Now()
	return &paced{from: from, seed: seed, clock: func() time.Duration { return time.Since(start) }, closed: make(chan struct{})}
}

func (p *paced) Info() devices.Info { return p.from.Info() }

// Read implements devices.Device: it blocks until the next instant of the schedule.
func (p *paced) Read(ctx context.Context) (devices.Sample, error) {
	p.mu.Lock()
	next := p.seq + 1
	p.mu.Unlock()
	due := p.from.Schedule().Instant(next, p.seed)
	timer := time.NewTimer(due - p.clock())
	defer timer.Stop()
	select {
	case <-p.closed:
		return devices.Sample{}, devices.ErrClosed
	case <-ctx.Done():
		return devices.Sample{}, ctx.Err()
	case <-timer.C:
	}
	sample := p.from.Sample(next, due)
	p.mu.Lock()
	p.seq = next
	p.mu.Unlock()
	return sample, nil
}

// Counters implements devices.Device: everything computed is good.
func (p *paced) Counters() devices.Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return devices.Counters{Good: p.seq}
}

// Damages implements devices.Device: there are none.
func (p *paced) Damages() []devices.Damage { return nil }

// Close implements devices.Device.
func (p *paced) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"plumbline/reports"
)

// Defaults of FloorConfig.
const (
	DefaultFloorRate     = 1000
	DefaultFloorMessages = 3000
	DefaultFloorBytes    = 200
)

// FloorConfig describes a measurement of the noise floor. The zero value is
// 3,000 frames of 200 bytes at 1,000 a second, without TLS.
type FloorConfig struct {
	Rate     float64
	Messages int
	Bytes    int
	TLS      bool // the second leg, as from a bridge to a viewer
}

// Floor is the noise floor of the rig: the latency of a bridge that does
// nothing.
type Floor struct {
	N              int
	P50, P99, P999 time.Duration
	Max            time.Duration
}

// Into enters the floor into a report.
func (f Floor) Into(rig *reports.RigHealth) {
	rig.FloorP50, rig.FloorP99, rig.FloorP999 = inMillis(f.P50), inMillis(f.P99), inMillis(f.P999)
}

// floorGrace is how long after the last frame the reader may still wait.
const floorGrace = 10 * time.Second

// MeasureFloor measures the null bridge: frames stamped with their intended
// instant, from the same metronome, through a relay on the loopback interface
// that only copies bytes from one connection to another, read back and stamped.
// Whatever it shows is the rig's own. It blocks for Messages/Rate.
func MeasureFloor(ctx context.Context, cfg FloorConfig) (Floor, error) {
	relay, err := newRelay(ctx, cfg.TLS)
	if err != nil {
		return Floor{}, err
	}
	defer relay.close()
	beyond, err := MeasureReference(ctx, ReferenceConfig{
		To: relay.writer, From: relay.reader, Rate: cfg.Rate, Frames: cfg.Messages, Bytes: cfg.Bytes,
	})
	if err != nil {
		return Floor{}, fmt.Errorf("load: measure the noise floor: %w", err)
	}
	slices.Sort(beyond)
	at := func(q float64) time.Duration { return beyond[int(math.Ceil(q*float64(len(beyond))))-1] }
	return Floor{N: len(beyond), P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}, nil
}

// relay is the null bridge with both of its clients.
type relay struct {
	writer, reader net.Conn // of the rig
	in, out        net.Conn // of the relay
	once           sync.Once
	done           chan struct{}
}

// newRelay connects writer → in, out → reader and starts copying.
func newRelay(ctx context.Context, secure bool) (*relay, error) {
	r := &relay{done: make(chan struct{})}
	var err error
	if r.writer, r.in, err = loopback(ctx, nil); err != nil {
		return nil, err
	}
	var server *tls.Config
	if secure {
		if server, err = selfSigned(); err != nil {
			return nil, errors.Join(err, r.writer.Close(), r.in.Close())
		}
	}
	if r.reader, r.out, err = loopback(ctx, server); err != nil {
		return nil, errors.Join(err, r.writer.Close(), r.in.Close())
	}
	go func() {
		defer close(r.done)
		// It ends when close ends the connections; that is its only end.
		_, _ = io.CopyBuffer(struct{ io.Writer }{r.out}, struct{ io.Reader }{r.in}, make([]byte, 32<<10))
	}()
	return r, nil
}

// close ends the relay and waits for it.
func (r *relay) close() {
	r.once.Do(func() {
		for _, c := range []net.Conn{r.writer, r.in, r.out, r.reader} {
			// Closing is what ends the copying; there is nothing to lose.
			_ = c.Close()
		}
	})
	<-r.done
}

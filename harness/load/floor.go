package load

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// Defaults of FloorConfig.
const (
	DefaultFloorRate     = 1000
	DefaultFloorMessages = 3000
	DefaultFloorBytes    = 200
)

// FloorConfig describes a measurement of the noise floor. The zero value is
// 3,000 frames of 200 bytes at 1,000 a second, without TLS, on a clock of its
// own.
type FloorConfig struct {
	Rate     float64
	Messages int
	Bytes    int
	TLS      bool // the second leg, as from a bridge to a viewer
	Clock    *record.Clock
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

// floorHead is the head of a frame: intended instant and length.
const floorHead = 12

// floorGrace is how long after the last frame the reader may still wait.
const floorGrace = 10 * time.Second

// MeasureFloor measures the null bridge: frames stamped with their intended
// instant, from the same metronome, through a relay on the loopback interface
// that only copies bytes from one connection to another, read back and stamped.
// Whatever it shows is the rig's own. It blocks for Messages/Rate.
func MeasureFloor(ctx context.Context, cfg FloorConfig) (Floor, error) {
	cfg = cfg.withDefaults()
	relay, err := newRelay(ctx, cfg.TLS)
	if err != nil {
		return Floor{}, err
	}
	defer relay.close()
	stop := context.AfterFunc(ctx, relay.close)
	defer stop()

	var lateness Histogram
	var group sync.WaitGroup
	var readErr error
	group.Go(func() { readErr = readFrames(relay.reader, cfg, &lateness) })
	writeErr := writeFrames(ctx, relay.writer, cfg)
	if writeErr != nil {
		relay.close()
	}
	group.Wait()
	if err := errors.Join(ctx.Err(), writeErr, readErr); err != nil {
		return Floor{}, fmt.Errorf("load: measure the noise floor: %w", err)
	}
	return Floor{
		N: int(lateness.N()), P50: lateness.Quantile(0.5), P99: lateness.Quantile(0.99),
		P999: lateness.Quantile(0.999), Max: lateness.Max(),
	}, nil
}

func (c FloorConfig) withDefaults() FloorConfig {
	if c.Rate <= 0 {
		c.Rate = DefaultFloorRate
	}
	if c.Messages <= 0 {
		c.Messages = DefaultFloorMessages
	}
	if c.Bytes <= 0 {
		c.Bytes = DefaultFloorBytes
	}
	c.Bytes = max(c.Bytes, floorHead)
	if c.Clock == nil {
		c.Clock = record.NewClock()
	}
	return c
}

// writeFrames writes every frame at its instant.
func writeFrames(ctx context.Context, out net.Conn, cfg FloorConfig) error {
	m := newMetronome(cfg.Clock, true)
	defer m.stop()
	period := time.Duration(float64(time.Second) / cfg.Rate)
	schedule := Schedule{Period: period, Dither: period / ditherShare}
	start := cfg.Clock.Now() + int64(startAfter)
	frame := make([]byte, cfg.Bytes)
	for i := range cfg.Messages {
		due := start + int64(schedule.Due(uint64(i)))
		binary.BigEndian.PutUint64(frame, uint64(due))
		binary.BigEndian.PutUint32(frame[8:], uint32(len(frame)))
		if err := m.wait(ctx, due); err != nil {
			return err
		}
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

// readFrames stamps every frame when its last byte is there.
func readFrames(in net.Conn, cfg FloorConfig, lateness *Histogram) error {
	limit := time.Duration(float64(cfg.Messages)/cfg.Rate*float64(time.Second)) + floorGrace
	if err := in.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	frame := make([]byte, cfg.Bytes)
	for range cfg.Messages {
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		at := cfg.Clock.Now()
		lateness.Add(time.Duration(at - int64(binary.BigEndian.Uint64(frame))))
	}
	return nil
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

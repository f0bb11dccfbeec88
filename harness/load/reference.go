package load

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"plumbline/harness/record"
)

// referenceHead is the head of a frame to the reference bridge: its intended
// instant on the sender's clock, how long to hold it, and its length, all
// big-endian.
const referenceHead = 8 + 8 + 4

const (
	// MaxReferenceDelay is the longest that the reference bridge holds a frame.
	MaxReferenceDelay = 10 * time.Second
	maxReferenceBytes = 4 << 10
	// referenceQueue bounds how many frames it holds; then it reads no more.
	referenceQueue = 4096
)

// held is a frame that waits for its time.
type held struct {
	frame []byte
	until int64 // on the clock of the bridge
}

// ServeReference is the reference bridge R0: it passes on every frame that it
// reads after exactly the time that the frame names, counted from when it has
// read its last byte, by an absolute sleep and a spin on a locked thread. What
// is measured beyond that time belongs to the rig. It returns when in ends, with
// what is held passed on, or with an error of in or of out. When ctx ends, what is
// held is passed on no more; a read of in that blocks is for the caller to end, by
// closing in, and only after that it returns.
func ServeReference(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := record.NewClock()
	queue := make(chan held, referenceQueue)
	var group sync.WaitGroup
	var writeErr error
	group.Go(func() {
		if writeErr = releaseFrames(ctx, clock, queue, out); writeErr != nil {
			cancel()
		}
	})
	readErr := holdFrames(ctx, clock, in, queue)
	close(queue)
	group.Wait()
	if err := errors.Join(readErr, writeErr); err != nil {
		return fmt.Errorf("load: reference bridge: %w", err)
	}
	return nil
}

// holdFrames reads frames and says until when each is held.
func holdFrames(ctx context.Context, clock *record.Clock, in io.Reader, queue chan<- held) error {
	buffered := bufio.NewReaderSize(in, maxReferenceBytes)
	for {
		frame, delay, err := readReferenceFrame(buffered)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case queue <- held{frame: frame, until: clock.Now() + int64(delay)}:
		case <-ctx.Done():
			return nil // who ended it says why
		}
	}
}

// readReferenceFrame returns io.EOF only between two frames.
func readReferenceFrame(in io.Reader) (frame []byte, delay time.Duration, err error) {
	var head [referenceHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, 0, err
	}
	delay = time.Duration(binary.BigEndian.Uint64(head[8:]))
	size := binary.BigEndian.Uint32(head[16:])
	if delay < 0 || delay > MaxReferenceDelay || size < referenceHead || size > maxReferenceBytes {
		return nil, 0, fmt.Errorf("a frame of %d bytes to be held for %v is none of ours", size, delay)
	}
	frame = make([]byte, size)
	copy(frame, head[:])
	if _, err := io.ReadFull(in, frame[referenceHead:]); err != nil {
		return nil, 0, fmt.Errorf("within a frame: %w", noEOF(err))
	}
	return frame, delay, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// releaseFrames writes every frame at its time.
func releaseFrames(ctx context.Context, clock *record.Clock, queue <-chan held, out io.Writer) error {
	m := newMetronome(clock, true)
	defer m.stop()
	for h := range queue {
		if err := m.wait(ctx, h.until); err != nil {
			return err
		}
		if _, err := out.Write(h.frame); err != nil {
			return err
		}
	}
	return nil
}

// ReferenceConfig describes a measurement through a reference bridge.
type ReferenceConfig struct {
	To, From net.Conn      // the bridge's way in and its way out
	Delay    time.Duration // that the bridge is to insert, 0 … MaxReferenceDelay
	Rate     float64       // frames per second; 0 means DefaultFloorRate
	Frames   int           // 0 means DefaultFloorMessages
	Bytes    int           // of a frame; 0 means DefaultFloorBytes
}

// MeasureReference sends frames on the schedule of the metronome through a
// reference bridge and returns by how much each came later than intended plus
// the delay, in the order of sending. It blocks for Frames/Rate and the delay,
// and closes both connections when ctx ends or something fails.
func MeasureReference(ctx context.Context, cfg ReferenceConfig) ([]time.Duration, error) {
	cfg.Rate = cmp.Or(cfg.Rate, DefaultFloorRate)
	cfg.Frames = cmp.Or(cfg.Frames, DefaultFloorMessages)
	cfg.Bytes = min(max(cmp.Or(cfg.Bytes, DefaultFloorBytes), referenceHead), maxReferenceBytes)
	if cfg.Delay < 0 || cfg.Delay > MaxReferenceDelay || !(cfg.Rate > 0) || math.IsInf(cfg.Rate, 1) || cfg.Frames < 0 {
		return nil, fmt.Errorf("load: %d frames at %v a second through a delay of %v: give a positive rate and a delay within %v", cfg.Frames, cfg.Rate, cfg.Delay, MaxReferenceDelay)
	}
	end := func() { // there is nothing to lose
		_ = cfg.To.Close()
		_ = cfg.From.Close()
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()
	clock := record.NewClock()
	var beyond []time.Duration
	var readErr error
	var group sync.WaitGroup
	group.Go(func() {
		if beyond, readErr = readBeyond(clock, cfg); readErr != nil {
			end()
		}
	})
	writeErr := writeReference(ctx, clock, cfg)
	if writeErr != nil {
		end()
	}
	group.Wait()
	if err := errors.Join(ctx.Err(), writeErr, readErr); err != nil {
		return nil, fmt.Errorf("load: measure through the reference bridge: %w", err)
	}
	return beyond, nil
}

// writeReference writes every frame at its instant.
func writeReference(ctx context.Context, clock *record.Clock, cfg ReferenceConfig) error {
	m := newMetronome(clock, true)
	defer m.stop()
	period := time.Duration(float64(time.Second) / cfg.Rate)
	schedule := Schedule{Period: period, Dither: period / ditherShare}
	start := clock.Now() + int64(startAfter)
	frame := make([]byte, cfg.Bytes)
	binary.BigEndian.PutUint64(frame[8:], uint64(cfg.Delay))
	binary.BigEndian.PutUint32(frame[16:], uint32(len(frame)))
	for i := range cfg.Frames {
		due := start + int64(schedule.Due(uint64(i)))
		binary.BigEndian.PutUint64(frame, uint64(due))
		if err := m.wait(ctx, due); err != nil {
			return err
		}
		if _, err := cfg.To.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

// readBeyond stamps every frame when its last byte is there, as a viewer does.
func readBeyond(clock *record.Clock, cfg ReferenceConfig) ([]time.Duration, error) {
	limit := time.Duration(float64(cfg.Frames)/cfg.Rate*float64(time.Second)) + cfg.Delay + floorGrace
	if err := cfg.From.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	beyond := make([]time.Duration, 0, cfg.Frames)
	frame := make([]byte, cfg.Bytes)
	for range cfg.Frames {
		if _, err := io.ReadFull(cfg.From, frame); err != nil {
			return nil, noEOF(err)
		}
		late := time.Duration(clock.Now() - int64(binary.BigEndian.Uint64(frame)))
		beyond = append(beyond, late-cfg.Delay)
	}
	return beyond, cfg.From.SetReadDeadline(time.Time{})
}

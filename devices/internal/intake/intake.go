// Package intake is what every streaming driver needs between its reader
// goroutine and Read: checked counting, bounded evidence and a bounded queue.
package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// Bounds of what is kept.
const (
	DefaultQueue    = 1024 // samples waiting for Read
	DefaultDamages  = 64   // rejected frames kept as evidence
	maxDamageLength = 512  // bytes kept of one rejected frame
)

// Options bound an Intake; zero values mean the defaults.
type Options struct {
	Queue   int
	Damages int
}

// Intake receives frames from one goroutine and hands samples to another. When
// the queue is full the oldest sample is dropped and counted: a reader that
// comes late wants the present, and the reading goroutine must never wait.
type Intake struct {
	decoder codec.Decoder // owned by the goroutine that calls Accept
	opts    Options

	mu       sync.Mutex
	queue    []devices.Sample // owned by mu
	counters devices.Counters
	damages  []devices.Damage // oldest first
	end      error            // what Read returns when the queue is empty
	wake     chan struct{}    // holds one token when the queue or end changed
}

// New returns an Intake for frames of the codec.
func New(c codec.Codec, opts Options) *Intake {
	if opts.Queue <= 0 {
		opts.Queue = DefaultQueue
	}
	if opts.Damages <= 0 {
		opts.Damages = DefaultDamages
	}
	return &Intake{decoder: codec.NewDecoder(c), opts: opts, wake: make(chan struct{}, 1)}
}

// Accept checks a frame and queues its sample, or keeps it as evidence. It
// reports whether the frame was whole. Topic is empty for devices that do not
// publish themselves. Accept never blocks.
func (in *Intake) Accept(f codec.Frame, topic string) bool {
	return in.accept(f, topic, func(class codec.Class, reason string) { in.Reject(f, class, reason) })
}

// AcceptOrCut is Accept for a frame that may have been cut: if it does not pass,
// it counts as cut, for the reason given.
func (in *Intake) AcceptOrCut(f codec.Frame, reason string) bool {
	return in.accept(f, "", func(codec.Class, string) { in.Cut(f, reason) })
}

func (in *Intake) accept(f codec.Frame, topic string, refuse func(codec.Class, string)) bool {
	if f.Fault != "" {
		refuse(codec.Damaged, f.Fault)
		return false
	}
	values, err := in.decoder.Decode(f.Raw)
	if err != nil {
		class := codec.Damaged
		var r *codec.Reject
		if errors.As(err, &r) {
			class = r.Class
		}
		if class == codec.Control {
			in.Control(f)
			return true
		}
		refuse(class, err.Error())
		return false
	}
	if f.NULs > 0 { // a damaged packet was glued to an intact frame
		in.Reject(codec.Frame{Raw: make([]byte, min(f.NULs, maxDamageLength)), First: f.First, Last: f.Last, Bytes: f.NULs, Offset: f.Offset},
			codec.Damaged, fmt.Sprintf("%d NUL bytes before a frame: parity or framing error", f.NULs))
		f.Bytes -= f.NULs
	}
	return in.Deliver(f, topic, values)
}

// Deliver queues the sample of a frame that was checked and decoded elsewhere.
// It is false after the end.
func (in *Intake) Deliver(f codec.Frame, topic string, values []devices.Value) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.end != nil {
		return false
	}
	in.counters.Good++
	in.counters.Bytes += uint64(f.Bytes)
	if len(in.queue) >= in.opts.Queue {
		in.queue[0] = devices.Sample{}
		in.queue = in.queue[1:]
		in.counters.Dropped++
	}
	in.queue = append(in.queue, devices.Sample{Seq: in.counters.Good, First: f.First, Last: f.Last,
		Topic: topic, Raw: f.Raw, Values: values})
	in.signal()
	return true
}

// Control counts a whole frame that carries no reading.
func (in *Intake) Control(f codec.Frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Control++
	in.counters.Bytes += uint64(f.Bytes)
}

// Miss counts an answer that did not come; what came of it is in f.
func (in *Intake) Miss(f codec.Frame, reason string) { in.MissSome(1, f, reason) }

// MissSome counts n that did not come, of which there is one piece of evidence.
func (in *Intake) MissSome(n uint64, f codec.Frame, reason string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Missing += n
	in.keep(f, reason)
}

// Cut counts a frame that opening, unplugging or closing cut.
func (in *Intake) Cut(f codec.Frame, reason string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Partial++
	in.keep(f, reason)
}

// Reject counts a frame that failed and keeps it as evidence.
func (in *Intake) Reject(f codec.Frame, class codec.Class, reason string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if class == codec.Unchecked {
		in.counters.Unchecked++
	} else {
		in.counters.Damaged++
	}
	in.keep(f, reason)
}

// keep stores evidence; the caller holds mu.
func (in *Intake) keep(f codec.Frame, reason string) {
	in.counters.Bytes += uint64(f.Bytes)
	raw := f.Raw
	if len(raw) > maxDamageLength {
		raw = bytes.Clone(raw[:maxDamageLength]) // or all of the frame would be kept
		reason += "; kept up to 512 bytes"
	}
	if len(in.damages) >= in.opts.Damages {
		in.damages = in.damages[1:]
	}
	in.damages = append(in.damages, devices.Damage{At: f.Last, Offset: f.Offset, Raw: raw, Reason: reason})
}

// Drop counts a frame that could not even be taken for checking.
func (in *Intake) Drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Dropped++
}

// End makes Read return err once the queue is empty; the first End wins.
func (in *Intake) End(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.end == nil {
		in.end = err
	}
	in.signal()
}

// Discard drops what is queued and makes Read return err at once: Close.
func (in *Intake) Discard(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.end, in.queue = err, nil
	in.signal()
}

// signal leaves a token for the reader; the caller holds mu.
func (in *Intake) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Read returns the next sample. It blocks until there is one, ctx ends or End
// or Discard was called.
func (in *Intake) Read(ctx context.Context) (devices.Sample, error) {
	for {
		if err := ctx.Err(); err != nil {
			return devices.Sample{}, err
		}
		s, ok, err := in.take()
		if ok || err != nil {
			return s, err
		}
		select {
		case <-ctx.Done():
		case <-in.wake:
		}
	}
}

func (in *Intake) take() (devices.Sample, bool, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) > 0 {
		s := in.queue[0]
		in.queue[0] = devices.Sample{}
		in.queue = in.queue[1:]
		return s, true, nil
	}
	if in.end != nil {
		in.signal() // a later Read must see the end too
	}
	return devices.Sample{}, false, in.end
}

// Counters returns the totals so far.
func (in *Intake) Counters() devices.Counters {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.counters
}

// Damages returns copies of the evidence kept, oldest first.
func (in *Intake) Damages() []devices.Damage {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make([]devices.Damage, len(in.damages))
	for i, d := range in.damages {
		out[i] = devices.Damage{At: d.At, Offset: d.Offset, Raw: append([]byte(nil), d.Raw...), Reason: d.Reason}
	}
	return out
}

// Monotonic returns a Clock that counts from this call, for drivers whose
// caller gave none.
func Monotonic() devices.Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

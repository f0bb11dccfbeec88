package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/exact"
	"plumbline/devices/internal/intake"
)

// Player is a recording played as a device.
type Player struct {
	rec    *Recording
	opts   Options
	in     *intake.Intake
	cancel context.CancelFunc
	done   chan struct{}
}

var _ devices.Device = (*Player)(nil)

// Open loads the recording at path and starts playing it.
func Open(path string, opts Options) (*Player, error) {
	rec, err := Load(path, opts.Load)
	if err != nil {
		return nil, err
	}
	return rec.Open(opts)
}

// Open starts playing the recording as a device: at once, on one goroutine that
// ends with the recording or at Close. Read returns io.EOF at the end of the last
// loop, or a *CorruptError if the file is damaged or cut there.
func (rec *Recording) Open(opts Options) (*Player, error) {
	opts, err := rec.check(opts)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	p := &Player{rec: rec, opts: opts, cancel: cancel, done: make(chan struct{}),
		in: intake.New(rec.Codec, intake.Options{Queue: rec.queue(opts), Damages: opts.Damages})}
	go func() {
		defer close(p.done)
		p.in.End(p.play(run))
	}()
	return p, nil
}

// queue is at least the recording when it is played without waiting: nobody
// can read as fast as memory is copied, and nothing should be lost to that.
func (rec *Recording) queue(opts Options) int {
	if math.IsInf(opts.Speed, 1) {
		return max(opts.Queue, rec.frames()*max(opts.Loops, 1))
	}
	return opts.Queue
}

// frames is the most frames that one loop can give.
func (rec *Recording) frames() int {
	n := 1 // what the last line may leave
	for _, e := range rec.Entries {
		n += max(bytes.Count(e.Raw, []byte("\n")), 1)
	}
	return n
}

// check validates the options and fills in what was left out.
func (rec *Recording) check(opts Options) (Options, error) {
	if opts.Speed == 0 {
		opts.Speed = 1
	}
	if opts.Loops == 0 {
		opts.Loops = 1
	}
	if opts.Clock == nil {
		opts.Clock = intake.Monotonic()
	}
	if opts.ID == "" {
		opts.ID = rec.Path
	}
	switch {
	case opts.Speed < 0 || math.IsNaN(opts.Speed):
		return opts, fmt.Errorf("replay: play %q: speed %v must be positive", rec.Path, opts.Speed)
	case opts.Loops < 0 && math.IsInf(opts.Speed, 1):
		return opts, fmt.Errorf("replay: play %q: endless and without waiting: give a speed or a number of loops", rec.Path)
	case opts.Loops < 0 && rec.Length <= 0:
		return opts, fmt.Errorf("replay: play %q: endless, and the recording has no length", rec.Path)
	case opts.Loops < 0 && len(rec.Entries) == 0:
		return opts, fmt.Errorf("replay: play %q: endless, and the recording says nothing: it holds events only", rec.Path)
	}
	return opts, nil
}

// play pushes all entries through a framer at their time.
func (p *Player) play(run context.Context) error {
	framer := p.rec.Codec.NewFramer()
	last, event := len(p.rec.Entries)-1, 0
	err := p.rec.walk(run, p.opts, func(at time.Duration, i int) error {
		e := p.rec.Entries[i]
		if i == 0 {
			event = 0 // of this loop
		}
		for ; event < len(p.rec.Events) && p.rec.Events[event].Position < e.Position; event++ {
			if p.rec.Events[event].Port != unplugged {
				continue
			}
			if f, held := framer.Rest(); held { // as the driver does
				p.in.Cut(f, "cut by an unplug")
			}
		}
		if m := e.Message; m != nil {
			p.in.Accept(codec.Frame{Raw: e.Raw, First: at, Last: at, Bytes: len(e.Raw), Offset: e.Position}, m.Topic)
		} else {
			framer.Push(at, e.Raw, func(f codec.Frame) { p.in.Accept(f, "") })
		}
		if i < last {
			return nil
		}
		if f, held := framer.Rest(); held {
			p.finish(f)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.rec.Fault != nil {
		return p.rec.Fault
	}
	return io.EOF
}

// finish takes the frame that the file ends in without a line end: a whole one
// if it passes its check, else a cut one.
func (p *Player) finish(f codec.Frame) {
	reason := f.Fault
	f.Fault = ""
	p.in.AcceptOrCut(f, reason)
}

// walk calls emit with the index of each entry when it is due, loop after loop. It returns
// ctx's error when ctx ends.
func (rec *Recording) walk(ctx context.Context, opts Options, emit func(at time.Duration, i int) error) error {
	alarm := exact.NewAlarm()
	defer alarm.Stop()
	start := opts.Clock()
	instant := math.IsInf(opts.Speed, 1)
	for loop := 0; opts.Loops < 0 || loop < opts.Loops; loop++ {
		if err := ctx.Err(); err != nil { // here too: there may be no entry
			return err
		}
		base := float64(loop) * float64(rec.Length)
		for i, e := range rec.Entries {
			if !instant {
				// Bounded, because a float beyond the range converts to anything.
				due := start + time.Duration(min((base+float64(e.Offset))/opts.Speed, 1<<62))
				if err := alarm.Wait(ctx, exact.Now()+int64(due-opts.Clock())); err != nil {
					return err
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := emit(opts.Clock(), i); err != nil {
				return err
			}
		}
	}
	return nil
}

// Feed writes the recording's bytes to w at their time: into a pty twin, say,
// whose port the serial driver reads. Its events are not played: over an unplug
// within a frame the bytes follow each other, where Open cuts the frame. It blocks
// until the end of the recording and returns nil, its *CorruptError, the first error of w, or ctx's error.
// Options.Queue and Damages are not used.
func (rec *Recording) Feed(ctx context.Context, w io.Writer, opts Options) error {
	opts, err := rec.check(opts)
	if err != nil {
		return err
	}
	err = rec.walk(ctx, opts, func(_ time.Duration, i int) error {
		if _, err := w.Write(rec.Entries[i].Raw); err != nil {
			return fmt.Errorf("replay: feed %q: %w", rec.Path, err)
		}
		return nil
	})
	if err == nil && rec.Fault != nil {
		return rec.Fault
	}
	return err
}

// Info implements devices.Device.
func (p *Player) Info() devices.Info {
	return devices.Info{ID: p.opts.ID, Kind: p.rec.Codec.Name(), Mode: devices.Replay, Model: p.rec.Device,
		Path: p.rec.Path, Note: p.rec.Note}
}

// Read implements devices.Device.
func (p *Player) Read(ctx context.Context) (devices.Sample, error) { return p.in.Read(ctx) }

// Counters implements devices.Device.
func (p *Player) Counters() devices.Counters { return p.in.Counters() }

// Damages implements devices.Device.
func (p *Player) Damages() []devices.Damage { return p.in.Damages() }

// Close implements devices.Device.
func (p *Player) Close() error {
	p.in.Discard(devices.ErrClosed)
	p.cancel()
	<-p.done
	return nil
}

// Publish hands the messages of an MQTT recording to send at their time, one after
// another in their order, with the retained flag and QoS that they had. It blocks
// as Feed does; Options are those of Feed. A recording that holds something else
// is an error before anything is sent.
func (rec *Recording) Publish(ctx context.Context, send func(m Message, payload []byte) error, opts Options) error {
	opts, err := rec.check(opts)
	if err != nil {
		return err
	}
	for _, e := range rec.Entries {
		if e.Message == nil {
			return fmt.Errorf("replay: publish %q: what stands at byte %d is no MQTT message; feed the recording into a port", rec.Path, e.Position)
		}
	}
	err = rec.walk(ctx, opts, func(_ time.Duration, i int) error {
		if err := send(*rec.Entries[i].Message, rec.Entries[i].Raw); err != nil {
			return fmt.Errorf("replay: publish %q: %w", rec.Path, err)
		}
		return nil
	})
	if err == nil && rec.Fault != nil {
		return rec.Fault
	}
	return err
}

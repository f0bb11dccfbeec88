package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
)

// pollEvery is how often modem lines and line errors are looked at: what comes
// and goes within that time is not seen.
const pollEvery = 20 * time.Millisecond

// Serial records a serial or remote port until ctx ends, the time or the number
// of Options is reached, the file is full or the port fails; only the last is an
// error, and what was recorded stays. Config is as for serialline.Open, with
// Codec nil when nobody knows what the bytes mean. After an unplug it waits for the
// device, as the driver does.
func Serial(ctx context.Context, cfg serialline.Config, opts Options) (Summary, error) {
	clock := intake.Monotonic()
	known := cfg.Codec
	if known == nil {
		cfg.Codec = codec.Chunks{}
		if opts.Until > 0 {
			return Summary{}, errors.New("recorder: so many frames, and no codec that says what a frame is; name the codec, or give a time")
		}
	}
	t := &tap{Codec: cfg.Codec, until: opts.Until, ready: make(chan struct{})}
	cfg.Codec, cfg.Clock = t, clock
	cfg.OnState = t.state
	opening, opened := opts.opening(ctx)
	line, err := serialline.Open(opening, cfg)
	opened()
	if err != nil {
		close(t.ready)
		return Summary{}, err
	}
	k, err := newKeeper(opts, header(line.Info(), cfg, known), known, clock)
	if err != nil {
		close(t.ready)
		return Summary{}, errors.Join(err, line.Close())
	}
	t.to = k
	close(t.ready)
	opts.started()
	why := follow(ctx, line, k, opts.For)
	closeErr := line.Close() // nothing comes after it
	sum, err := k.close("")
	sum.Counters = line.Counters()
	if known == nil {
		sum.Counters = devices.Counters{}
	}
	return sum, errors.Join(why, err, closeErr)
}

// header says what is recorded and how.
func header(info devices.Info, cfg serialline.Config, known codec.Codec) replay.Header {
	h := replay.Header{Device: info.Model, Serial: info.Serial, Source: info.Path, Settings: replay.Settings{
		Baud: cmp.Or(cfg.Baud, serialline.DefaultBaud), DataBits: cmp.Or(cfg.DataBits, 8),
		Parity: string(cmp.Or(cfg.Parity, serialline.NoParity)), StopBits: cmp.Or(cfg.StopBits, 1)}}
	if known != nil {
		h.Codec = known.Name()
	}
	return h
}

// follow reads the device until the recording ends; the error is the port's.
func follow(ctx context.Context, line *serialline.Line, k *keeper, limit time.Duration) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() { // samples are the driver's own business; its end is ours
		for {
			_, err := line.Read(run)
			if err != nil {
				failed <- err
				k.end("the port failed")
				return
			}
		}
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(run, line, k)
	}()
	k.until(ctx, limit)
	ours := run.Err() != nil
	cancel()
	<-watched
	err := <-failed
	if ours || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// lines is what is looked at beside the bytes.
type lines interface {
	Modem() (serialline.Modem, error)
	LineErrors() (serialline.LineErrors, error)
}

// watch keeps the changes of the modem lines and of the kernel's counts until ctx
// ends or the port turns out to have neither.
func watch(ctx context.Context, port lines, k *keeper) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	w := watcher{port: port, k: k, modem: true, errors: true}
	for w.look(); w.modem || w.errors; w.look() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watcher remembers what was seen last.
type watcher struct {
	port          lines
	k             *keeper
	modem, errors bool // the port has them
	last          *serialline.Modem
	counts        *serialline.LineErrors // nil: not asked since the port came
}

func (w *watcher) look() {
	if w.modem {
		m, err := w.port.Modem()
		switch {
		case err == nil && (w.last == nil || *w.last != m):
			w.last = &m
			w.k.event(replay.Event{Modem: &replay.Modem{CTS: m.CTS, DSR: m.DSR, DCD: m.DCD, RI: m.RI}})
		case errors.Is(err, serialline.ErrNoModem):
			w.modem = false
		}
	}
	if !w.errors {
		return
	}
	c, err := w.port.LineErrors()
	switch {
	case errors.Is(err, serialline.ErrNoCounts):
		w.errors = false
	case err != nil:
		w.counts = nil // a port that comes back may count from anywhere
	case w.counts != nil && *w.counts != c:
		d := c.Since(*w.counts)
		w.k.event(replay.Event{Errors: &replay.LineErrors{Break: d.Break, Frame: d.Frame, Parity: d.Parity, Overrun: d.Overrun, Buffer: d.Buffer}})
		w.counts = &c
	default:
		w.counts = &c
	}
}

// tap is a codec that hands on what the line reads before it judges it. All but
// making it happens on the reading goroutine.
type tap struct {
	codec.Codec

	ready chan struct{} // closed when to is set; nil then: nothing is kept
	to    *keeper
	until uint64
	good  uint64
}

var _ codec.Stateful = (*tap)(nil)

// NewFramer implements codec.Codec.
func (t *tap) NewFramer() codec.Framer { return &tapped{Framer: t.Codec.NewFramer(), tap: t} }

// NewDecoder implements codec.Stateful.
func (t *tap) NewDecoder() codec.Decoder { return counting{codec.NewDecoder(t.Codec), t} }

// state keeps that the port went or came.
func (t *tap) state(s serialline.State) {
	<-t.ready
	if t.to == nil {
		return
	}
	what := "unplugged"
	if s.Plugged {
		what = "plugged"
	}
	t.to.event(replay.Event{Port: what})
}

// counting counts what passes.
type counting struct {
	codec.Decoder
	tap *tap
}

// Decode implements codec.Decoder.
func (c counting) Decode(frame []byte) ([]devices.Value, error) {
	values, err := c.Decoder.Decode(frame)
	if err == nil {
		c.tap.good++
	}
	return values, err
}

type tapped struct {
	codec.Framer
	tap *tap
}

// Push implements codec.Framer.
func (f *tapped) Push(at time.Duration, p []byte, emit func(codec.Frame)) {
	t := f.tap
	<-t.ready
	if t.to != nil {
		t.to.bytes(at, p)
	}
	f.Framer.Push(at, p, emit)
	if t.to != nil && t.until > 0 && t.good >= t.until {
		t.to.end(fmt.Sprintf("%d frames are there", t.until))
	}
}

package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/remote"
)

// memoryLimit is the memory in bytes up to which the collector stays out of the
// way of the generator.
const memoryLimit = 512 << 20

// maxFrame bounds a frame of the protocol: the largest payload of a hand, in
// base64, and what is beside it.
const maxFrame = 64 << 20

// Env is what the opener of a device may use.
type Env struct {
	Seed  uint64        // of the run
	Clock *record.Clock // of the run
	Log   *slog.Logger
	Event func(record.Event) // puts one into the recording
}

// Device is one opened device: either Scheduled or Stream.
type Device struct {
	Scheduled devices.Scheduled // sampled by the metronome
	Stream    devices.Device    // publishes when it has something
	Topic     string
	Closer    io.Closer // nil for none
	// Act does what is asked of it beside, as Generator.Act passes it on; nil for a
	// device to which nothing can be done. It is called while the device is read.
	Act func(ctx context.Context, do json.RawMessage) (any, error)
}

// Info describes the device.
func (d Device) info() devices.Info {
	if d.Stream != nil {
		return d.Stream.Info()
	}
	return d.Scheduled.Info()
}

// Opener opens a device by its order, which is one of Config.Devices as JSON.
type Opener func(ctx context.Context, env Env, order json.RawMessage) (Device, error)

// Serve is the generator: it does what the other side of in and out calls for,
// until that side ends the link, and returns when all has ended. It blocks so
// long. It never writes secrets to log. A nil open opens no devices.
func Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser, open Opener, log *slog.Logger) error {
	return newServer(open, log, nil).serve(ctx, in, out)
}

// server is Serve at work.
type server struct {
	open  Opener
	log   *slog.Logger
	clock *record.Clock // of the harness, within one process; else nil
	link  *remote.Link
	ready chan struct{} // link is there

	opening sync.Mutex // open and close exclude each other

	mu        sync.Mutex
	tape      *tape // nil before open
	generator *load.Generator
	devices   []Device
	forwarded []Device
	scheduled bool // the metronome has something to do
	hiccup    *load.Hiccup
	quiet     func() load.GCReport
	hands     []*load.Hand
	lines     []*load.Line
	final     *ended // after close
}

func newServer(open Opener, log *slog.Logger, clock *record.Clock) *server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &server{open: open, log: log, clock: clock, ready: make(chan struct{})}
}

func (s *server) serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	link, err := remote.Open(ctx, in, out, remote.Config{Handle: s.handle, MaxFrame: maxFrame})
	if err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	s.link = link
	close(s.ready)
	select {
	case <-link.Done():
	case <-ctx.Done():
	}
	_, failed := s.end() // before the handlers are waited for: it ends them too
	err = link.Err()
	if errors.Is(err, remote.ErrClosed) || err == nil {
		err = ctx.Err()
	}
	return errors.Join(err, failed, link.Close())
}

// handle answers a call. What was recorded until then goes first.
func (s *server) handle(ctx context.Context, verb string, argument []byte) (any, error) {
	<-s.ready
	answer, err := s.do(ctx, verb, argument)
	s.mu.Lock()
	t := s.tape
	s.mu.Unlock()
	if t != nil {
		t.flush()
	}
	return answer, err
}

// do looks up what a call is for.
func (s *server) do(ctx context.Context, verb string, argument []byte) (any, error) {
	switch verb {
	case verbOpen:
		return with(argument, func(o settings) (any, error) { return s.begin(ctx, o) })
	case verbClose:
		return s.end()
	}
	g, clock, err := s.opened()
	if err != nil {
		return nil, err
	}
	switch verb {
	case verbClock:
		return clock.Now(), nil
	case verbConnect:
		return nil, g.Connect(ctx)
	case verbRun:
		return with(argument, func(o runOrder) (any, error) { return nil, s.run(ctx, g, o.Length) })
	case verbHealth:
		return g.Health(), nil
	case verbSettle:
		return nil, g.WaitAcked(ctx)
	case verbHand:
		return with(argument, func(o HandOptions) (any, error) { return s.hand(ctx, g, o) })
	case verbLine:
		return with(argument, s.line)
	case verbSend:
		return with(argument, s.send)
	case verbWaiting:
		return s.withHand(argument, func(h *load.Hand) (any, error) { return nil, h.WaitAcked(ctx) })
	case verbCounts:
		return s.withHand(argument, func(h *load.Hand) (any, error) { return h.Counts(), nil })
	case verbAct:
		return with(argument, func(o actOrder) (any, error) { return s.act(ctx, o) })
	case verbDrop:
		return s.withHand(argument, func(h *load.Hand) (any, error) { return nil, h.Drop() })
	default:
		return nil, fmt.Errorf("generator: no call is named %q", verb)
	}
}

// with decodes the argument of a call.
func with[T any](argument []byte, do func(T) (any, error)) (any, error) {
	var decoded T
	if err := json.Unmarshal(argument, &decoded); err != nil {
		return nil, fmt.Errorf("generator: argument of a call: %w", err)
	}
	return do(decoded)
}

// opened returns the generator that open made.
func (s *server) opened() (*load.Generator, *record.Clock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generator == nil || s.final != nil {
		return nil, nil, errors.New("generator: it is not open")
	}
	return s.generator, s.tape.clock, nil
}

// run lets every device speak for length and returns when all have stopped,
// early with the error of outer.
func (s *server) run(outer context.Context, g *load.Generator, length time.Duration) error {
	if !s.scheduled && len(s.forwarded) == 0 {
		return errors.New("generator: nothing to run: it has no devices")
	}
	timed, cancel := context.WithTimeout(outer, length)
	defer cancel()
	var group sync.WaitGroup
	errs := make([]error, len(s.forwarded)+1)
	for i, d := range s.forwarded {
		group.Go(func() { errs[i] = g.Forward(timed, d.Stream, d.Topic) })
	}
	if s.scheduled { // which ends with its last message, a little later than length
		errs[len(s.forwarded)] = g.Run(outer, length)
	}
	group.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF)
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return outer.Err()
}

// act does something to a device.
func (s *server) act(ctx context.Context, o actOrder) (any, error) {
	s.mu.Lock()
	var d Device
	if o.Device >= 0 && o.Device < len(s.devices) {
		d = s.devices[o.Device]
	}
	s.mu.Unlock()
	if d.Act == nil {
		return nil, fmt.Errorf("generator: nothing can be done to device %d", o.Device+1)
	}
	return d.Act(ctx, o.Do)
}

func (s *server) hand(ctx context.Context, g *load.Generator, o HandOptions) (any, error) {
	hand, err := g.Hand(ctx, load.HandConfig{Name: o.Name, Will: o.Will, InFlight: o.InFlight, Aside: o.Aside})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hands = append(s.hands, hand)
	return handAnswer{Hand: uint32(len(s.hands) - 1), MaxPacket: hand.MaxPacket()}, nil
}

// withHand finds the hand that a call is about.
func (s *server) withHand(argument []byte, do func(h *load.Hand) (any, error)) (any, error) {
	return with(argument, func(o handOrder) (any, error) {
		h, err := pick(s, &s.hands, o.Hand)
		if err != nil {
			return nil, err
		}
		return do(h)
	})
}

// pick returns the n-th of what is listed.
func pick[T any](s *server, list *[]T, n uint32) (one T, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uint64(n) >= uint64(len(*list)) {
		return one, fmt.Errorf("generator: no hand or line has the number %d", n)
	}
	return (*list)[n], nil
}

func (s *server) line(o lineOrder) (any, error) {
	h, err := pick(s, &s.hands, o.Hand)
	if err != nil {
		return nil, err
	}
	line := h.Line(o.Stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
	return lineAnswer{Line: uint32(len(s.lines) - 1), Stream: line.Stream()}, nil
}

func (s *server) send(o sendOrder) (any, error) {
	line, err := pick(s, &s.lines, o.Line)
	if err != nil {
		return nil, err
	}
	sent := 0
	for _, p := range o.Parcels {
		if line.Send(p) {
			sent++
		}
	}
	return sendAnswer{Sent: sent}, nil
}

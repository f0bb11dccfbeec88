package virtual

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
)

// soakAhead is how many lines a board may print before they are taken; then it
// waits, and its time with it.
const soakAhead = 4096

// Soak is a board in fast-forward: its time passes in Advance only, as fast as
// this machine computes it. One goroutine uses it.
type Soak struct {
	board   *Machine
	lines   chan []byte   // from the draining goroutine
	quit    chan struct{} // closed by Close
	drained sync.WaitGroup
	closing sync.Once
	closed  error

	untold  []byte   // to be told after the first line
	pending [][]byte // printed before the board stood still, not handed over yet
	counted SoakCounters
	earlier time.Duration // of the board's starts before this one
	now     time.Duration
	boots   float64 // of the last line
	last    float64 // number of the last line
}

// SoakCounters are totals of a Soak.
type SoakCounters struct {
	Good    uint64 // lines that passed their check
	Damaged uint64 // lines that did not
	Starts  uint64 // starts of the board that were seen
	Missing uint64 // lines that lack between two of one start
}

// OpenSoak powers a board up in fast-forward. Its time stands still until
// Advance; it prints a line a second of it until it is told otherwise.
func OpenSoak(ctx context.Context, opts Options) (*Soak, error) {
	opts.Time, opts.Held = devices.FastForward, true
	board, err := Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	s := &Soak{board: board, lines: make(chan []byte, soakAhead), quit: make(chan struct{})}
	s.drained.Go(func() {
		defer close(s.lines)
		drain(board.Serial(), func(line []byte) {
			select {
			case s.lines <- line:
			case <-s.quit:
			}
		})
	})
	return s, nil
}

// Tell says something to the board; it hears it when its time goes on, and not
// before its first line, because it has not prepared its UART before that.
func (s *Soak) Tell(p []byte) error {
	if s.counted.Starts == 0 {
		s.untold = append(s.untold, p...)
		return nil
	}
	if err := s.board.Serial().SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err := s.board.Serial().Write(p)
	return err
}

// Board is the machine, for stimuli between two calls of Advance.
func (s *Soak) Board() *Machine { return s.board }

// Now returns how much of the board's time has been handed over.
func (s *Soak) Now() time.Duration { return s.now }

// Counters returns the totals of what was handed over.
func (s *Soak) Counters() SoakCounters { return s.counted }

// Advance lets time pass until at least d of it has been handed over, as values
// and as the line that they came in, and then makes it stand still; some lines
// more have been printed by then, which the next call hands over first. each may
// be nil; its error ends the call.
//
// The emulator serves some of the board's timer interrupts only with the next one:
// a line may be late by half a second, or by a shorter period, and the next one is
// due when it was. The board's clock, by which d is measured, is right.
func (s *Soak) Advance(ctx context.Context, d time.Duration, each func(values []devices.Value, line []byte) error) error {
	until := s.now + d
	for len(s.pending) > 0 && s.now < until {
		line := s.pending[0]
		s.pending = s.pending[1:]
		if err := s.take(line, each); err != nil {
			return err
		}
	}
	if s.now >= until {
		return nil
	}
	if err := s.board.Thaw(ctx); err != nil {
		return err
	}
	return errors.Join(s.run(ctx, until, each), s.stand())
}

// run hands lines over until the board's clock shows until.
func (s *Soak) run(ctx context.Context, until time.Duration, each func([]devices.Value, []byte) error) error {
	for s.now < until {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return fmt.Errorf("virtual: soak %q at %v: %w", s.board.opts.ID, s.now, ErrGone)
			}
			if err := s.take(line, each); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("virtual: soak %q at %v: %w", s.board.opts.ID, s.now, ctx.Err())
		}
	}
	return nil
}

// stand stops the board. Its lines are taken meanwhile, because a UART that
// nobody reads keeps it from hearing that it is to stop.
func (s *Soak) stand() error {
	frozen := make(chan error, 1)
	go func() { frozen <- s.board.Freeze(context.Background()) }() // bounded by patience, and awaited
	lines := s.lines
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				lines = nil // it has ended; Freeze says so
				continue
			}
			s.pending = append(s.pending, line)
		case err := <-frozen:
			return err
		}
	}
}

// take checks one line and hands it over.
func (s *Soak) take(line []byte, each func([]devices.Value, []byte) error) error {
	line = bytes.TrimRight(line, "\r\n")
	values, err := firmware.Codec().Decode(line)
	if err != nil {
		s.counted.Damaged++
		return nil //nolint:nilerr // it is counted
	}
	s.counted.Good++
	first := s.counted.Starts == 0
	s.follow(firmware.Number(values, firmware.Boots), firmware.Number(values, firmware.Sequence), firmware.Number(values, firmware.Micros))
	if first && len(s.untold) > 0 {
		if err := s.Tell(s.untold); err != nil {
			return err
		}
	}
	if each == nil {
		return nil
	}
	return each(values, line)
}

// follow keeps the time and what lacks. A start of the board sets its clock and
// its count of lines to nothing.
func (s *Soak) follow(boots, number, micros float64) {
	if boots != s.boots {
		s.counted.Starts++
		s.boots, s.last, s.earlier = boots, 0, s.now
	}
	if number > s.last+1 {
		s.counted.Missing += uint64(number - s.last - 1)
	}
	s.last, s.now = number, s.earlier+time.Duration(micros)*time.Microsecond
}

// Close ends the board and waits for everything. It is idempotent.
func (s *Soak) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		s.closed = s.board.Close()
		s.drained.Wait()
	})
	return s.closed
}

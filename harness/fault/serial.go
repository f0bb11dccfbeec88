package fault

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"plumbline/harness/record"
)

// serialBuffer bounds what a stalled or merging line keeps, in bytes.
const serialBuffer = 64 << 10

// SerialOptions configure a Serial. The zero value is useful.
type SerialOptions struct {
	ToDevice io.Writer        // gets what the reader sends; nil: nobody listens
	Recorder *record.Recorder // gets each action of a fault; nil: they are counted only
}

// Serial stands in a serial line between a device and its reader and disturbs
// what goes through. The device writes to it; a pty twin is such a line's far
// end:
//
//	line := fault.NewSerial(twin, fault.SerialOptions{})     // and line.Heard as ptytwin.Options.OnReceive
//	line.Write(sentence)                                      // in place of twin.Write
//
// Faults act in the order of their injection. They count bytes and writes of the
// device from their injection on. All methods may be called by any goroutine.
type Serial struct {
	toReader io.Writer
	opts     SerialOptions
	done     chan struct{}
	closing  sync.Once

	rush   rush
	mu     sync.Mutex // held while a write goes out, pauses of a split included
	stages []serialStage
	echo   *echo // nil for none
	cut    bool  // the way to the device is cut, too
}

// serialStage is what a fault does to what the device sends.
type serialStage interface {
	pass(p []byte) []piece
	rest() []piece // when the fault ends
}

// piece is one write to the reader.
type piece struct {
	data  []byte
	pause time.Duration // before it
}

// rush ends pauses at once, all of them, while somebody is in a hurry. The zero
// value is in none.
type rush struct {
	mu  sync.Mutex
	n   int           // that are in a hurry
	now chan struct{} // closed while n > 0
}

// add takes so many more, or less, to be in a hurry.
func (r *rush) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.n > 0 && r.n+n == 0 {
		r.now = make(chan struct{})
	}
	if r.n == 0 && n > 0 {
		close(r.now)
	}
	r.n += n
}

// begins returns what is closed when, or because, somebody is in a hurry.
func (r *rush) begins() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now = make(chan struct{})
	}
	return r.now
}

// NewSerial makes a line to a reader: a pty twin, a connection, a pipe.
func NewSerial(toReader io.Writer, opts SerialOptions) *Serial {
	return &Serial{toReader: toReader, opts: opts, done: make(chan struct{})}
}

// Write sends what the device says. It blocks as long as the reader's side and
// the pauses of a split do, and returns the error of the reader's side. Bytes
// that a fault swallows count as written: a device does not see its line.
func (s *Serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.send(slices.Clone(p), s.stages); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Heard takes what the reader sent to the device.
func (s *Serial) Heard(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return
	}
	if s.echo != nil {
		s.echo.heard(p)
		_ = s.send(slices.Clone(p), s.stages) // the reader's own trouble
	}
	if s.opts.ToDevice != nil {
		_, _ = s.opts.ToDevice.Write(p)
	}
}

// send carries p through the stages to the reader. The caller holds mu.
func (s *Serial) send(p []byte, stages []serialStage) error {
	pieces := []piece{{data: p}}
	for _, stage := range stages {
		var next []piece
		for _, in := range pieces {
			if len(in.data) == 0 {
				continue
			}
			out := stage.pass(in.data)
			if len(out) > 0 && in.pause > 0 {
				out[0].pause += in.pause
			}
			next = append(next, out...)
		}
		pieces = next
	}
	return s.deliver(pieces)
}

func (s *Serial) deliver(pieces []piece) error {
	for _, p := range pieces {
		if p.pause > 0 {
			timer := time.NewTimer(p.pause)
			select {
			case <-timer.C:
			case <-s.rush.begins():
				timer.Stop()
			case <-s.done:
				timer.Stop()
			}
		}
		if len(p.data) == 0 {
			continue
		}
		if _, err := s.toReader.Write(p.data); err != nil {
			return fmt.Errorf("fault: serial line to the reader: %w", err)
		}
	}
	return nil
}

// add puts a stage behind those that are there.
func (s *Serial) add(stage serialStage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stages = append(slices.Clone(s.stages), stage)
	s.cut = s.unplugged()
}

// unplugged reports whether one of the stages is an unplugging. The caller holds
// mu.
func (s *Serial) unplugged() bool {
	return slices.ContainsFunc(s.stages, func(stage serialStage) bool { x, ok := stage.(*stall); return ok && x.off })
}

// remove takes a stage out and sends on what it held, through those behind it.
func (s *Serial) remove(stage serialStage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.stages, stage)
	if at < 0 {
		return nil
	}
	behind := s.stages[at+1:]
	s.stages = slices.Delete(slices.Clone(s.stages), at, at+1)
	s.cut = s.unplugged()
	for _, p := range stage.rest() {
		if err := s.send(p.data, behind); err != nil {
			return err
		}
	}
	return nil
}

// fault makes a fault of a stage. check says what is wrong with its parameters.
func (s *Serial) fault(name string, check error, stage func(log scribe) serialStage) Counted {
	return newActing("serial "+name, s.opts.Recorder, func(t *tally) (inject, revert func() error) {
		var on serialStage
		revert = func() error {
			if on == nil {
				return nil
			}
			gone := on
			on = nil
			s.rush.add(1) // a write that pauses holds mu
			defer s.rush.add(-1)
			return s.remove(gone)
		}
		inject = func() error {
			if check != nil {
				return check
			}
			if err := revert(); err != nil { // a second injection takes the place of the first
				return err
			}
			on = stage(scribe{tally: t})
			s.add(on)
			return nil
		}
		return inject, revert
	})
}

// Close ends pauses; what is written later goes through without them. It is
// idempotent and leaves both sides open.
func (s *Serial) Close() error {
	s.closing.Do(func() { close(s.done) })
	return nil
}

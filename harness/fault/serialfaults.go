package fault

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// NoiseFault damages each byte with probability rate: a bit flips, or the byte
// reads as NUL, as a tty says a parity error (termios(3), PARMRK), or a byte
// comes that nobody sent. Line ends are not spared. It fires for each byte.
func (s *Serial) NoiseFault(rate float64, seed uint64) Counted {
	var check error
	if !(rate > 0 && rate <= 1) {
		check = fmt.Errorf("rate %g is not within (0, 1]", rate)
	}
	return s.fault(fmt.Sprintf("noise (rate %g, seed %d)", rate, seed), check, func(log scribe) serialStage {
		return &noise{log: log, rate: rate, rnd: source(seed, 0, 0)}
	})
}

type noise struct {
	log  scribe
	rate float64
	rnd  *rand.Rand
	n    uint64
}

func (x *noise) rest() []piece { return nil }

func (x *noise) pass(p []byte) []piece {
	out := make([]byte, 0, len(p)+8)
	for _, b := range p {
		x.n++
		if x.rnd.Float64() >= x.rate {
			out = append(out, b)
			continue
		}
		switch x.rnd.IntN(3) {
		case 0:
			out = append(out, b^1<<x.rnd.IntN(8))
			x.log.act(x.n, "bit flipped")
		case 1:
			out = append(out, 0)
			x.log.act(x.n, "NUL in its place")
		default:
			out = append(out, byte(x.rnd.IntN(256)), b)
			x.log.act(x.n, "byte before it")
		}
	}
	return []piece{{data: out}}
}

// SplitFault tears each write of the device into pieces of [1, most] bytes and
// pauses before each but the first, so that the reader gets a line in several
// reads. It fires at each tear. A write under way ends without pauses when any fault
// of the line is reverted.
func (s *Serial) SplitFault(most int, pause time.Duration, seed uint64) Counted {
	var check error
	if most < 1 || pause < 0 || pause > time.Second {
		check = fmt.Errorf("pieces of at most %d bytes, %v apart: give 1 byte or more and a pause within a second", most, pause)
	}
	return s.fault(fmt.Sprintf("split (at most %d bytes, %v apart, seed %d)", most, pause, seed), check, func(log scribe) serialStage {
		return &split{log: log, most: most, pause: pause, rnd: source(seed, 0, 0)}
	})
}

type split struct {
	log   scribe
	most  int
	pause time.Duration
	rnd   *rand.Rand
	n     uint64 // bytes seen
}

func (x *split) rest() []piece { return nil }

func (x *split) pass(p []byte) (out []piece) {
	for at := 0; at < len(p); {
		size := min(len(p)-at, 1+x.rnd.IntN(x.most))
		next := piece{data: p[at : at+size]}
		if at > 0 {
			next.pause = x.pause
			x.log.act(x.n+uint64(at)+1, "torn before it")
		}
		out = append(out, next)
		at += size
	}
	x.n += uint64(len(p))
	return out
}

// MergeFault keeps lines back until there are that many and then sends them as
// one write, so that the reader gets several in one read. What is left at its
// end follows then. It fires for each merged write.
func (s *Serial) MergeFault(lines int) Counted {
	var check error
	if lines < 2 {
		check = fmt.Errorf("%d lines cannot be merged; give 2 or more", lines)
	}
	return s.fault(fmt.Sprintf("merge (%d lines)", lines), check, func(log scribe) serialStage {
		return &merge{log: log, lines: lines}
	})
}

type merge struct {
	log   scribe
	lines int
	kept  []byte
	ends  int    // of lines, in kept
	n     uint64 // writes made
}

func (x *merge) rest() []piece {
	kept := x.kept
	x.kept, x.ends = nil, 0
	return []piece{{data: kept}}
}

func (x *merge) pass(p []byte) []piece {
	x.kept = append(x.kept, p...)
	x.ends += bytes.Count(p, []byte("\n"))
	if x.ends < x.lines && len(x.kept) < serialBuffer {
		return nil
	}
	x.n++
	x.log.act(x.n, "merged")
	return x.rest()
}

// StallFault keeps the line silent. Up to 64 KiB that the device says meanwhile
// follow when it is reverted; what is beyond is lost, as in a device whose
// buffer is full. It fires for each write.
func (s *Serial) StallFault() Counted {
	return s.fault("stall", nil, func(log scribe) serialStage { return &stall{log: log, room: serialBuffer} })
}

// UnplugFault pulls the line out: what the device and the reader say is lost,
// and the reader sees nothing of it but silence. For a pty twin, whose port
// vanishes, use Unplug. It fires for each write of the device.
func (s *Serial) UnplugFault() Counted {
	return s.fault("unplug", nil, func(log scribe) serialStage { return &stall{log: log, off: true} })
}

// stall keeps room bytes; with off it also cuts the way to the device.
type stall struct {
	log  scribe
	room int
	off  bool
	kept []byte
	n    uint64
}

func (x *stall) rest() []piece { return []piece{{data: x.kept}} }

func (x *stall) pass(p []byte) []piece {
	x.n++
	take := min(len(p), x.room-len(x.kept))
	x.kept = append(x.kept, p[:take]...)
	if take < len(p) {
		x.log.act(x.n, fmt.Sprintf("%d bytes lost", len(p)-take))
	} else {
		x.log.act(x.n, "held")
	}
	return nil
}

// BaudFault lets the reader listen at another rate than the device sends: it
// gets what a UART makes of such a signal (see Misread). It fires for each write.
func (s *Serial) BaudFault(sent, read int) Counted {
	var check error
	if sent < 1 || read < 1 || sent > maxBaud || read > maxBaud || sent == read {
		check = fmt.Errorf("%d baud read at %d baud is no mismatch; give two rates from 1 to %d", sent, read, maxBaud)
	}
	return s.fault(fmt.Sprintf("baud mismatch (%d read at %d)", sent, read), check, func(log scribe) serialStage {
		return &mismatch{log: log, sent: sent, read: read}
	})
}

type mismatch struct {
	log        scribe
	sent, read int
	n          uint64
}

func (x *mismatch) rest() []piece { return nil }

func (x *mismatch) pass(p []byte) []piece {
	x.n++
	got := Misread(p, x.sent, x.read)
	x.log.act(x.n, fmt.Sprintf("%d bytes read as %d", len(p), len(got)))
	return []piece{{data: got}}
}

// EchoFault sends back to the reader what it sends to the device, as a tty with
// echo on does. It fires for each byte.
func (s *Serial) EchoFault() Counted {
	return newActing("serial echo", s.opts.Recorder, func(t *tally) (inject, revert func() error) {
		set := func(e *echo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.echo = e
		}
		inject = func() error { set(&echo{log: scribe{tally: t}}); return nil }
		revert = func() error { set(nil); return nil }
		return inject, revert
	})
}

type echo struct {
	log scribe
	n   uint64
}

func (x *echo) heard(p []byte) {
	for range p {
		x.n++
		x.log.act(x.n, "echoed")
	}
}

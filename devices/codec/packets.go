package codec

import (
	"bytes"
	"fmt"
	"time"
)

// Packets is the framer of binary protocols whose frames have one length, begin
// with fixed bytes and carry a check. Bytes that belong to no good frame are
// damaged ones: they are emitted in pieces of about a frame, so that each frame
// that noise hit counts once, whether a byte of it flipped, went missing or came
// twice, and garbage of any length costs no more memory than two frames and the
// longest Push.
//
// A damaged frame is emitted when the next good one begins or two frames' worth
// of bytes have come, because only then it is known where it ends.
type Packets struct {
	Sync []byte // what every frame begins with; at least one byte
	Size int    // bytes of a frame, Sync included
	// Check says what is wrong with Size bytes that begin with Sync, "" if
	// nothing. It is called for each place that may be a frame.
	Check func(frame []byte) string

	stamps stamps
	room   []byte // what buf lies in
	buf    []byte // from the first byte not yet emitted
	junk   int    // bytes at the front of buf that begin no good frame
	why    string // what was wrong with the first candidate in junk
}

var _ Framer = (*Packets)(nil)

// Push implements Framer.
func (f *Packets) Push(at time.Duration, p []byte, emit func(Frame)) {
	f.stamps.add(at, len(p))
	f.room = append(append(f.room[:0], f.buf...), p...) // once a Push: a move for each frame would cost the square of p
	f.buf = f.room
	for f.step(emit) {
	}
}

// step looks at the next place; it is false when more bytes are needed.
func (f *Packets) step(emit func(Frame)) bool {
	rest := f.buf[f.junk:]
	next := syncIn(rest, f.Sync)
	f.skip(next, emit)
	rest = rest[next:]
	if len(rest) < f.Size {
		return false
	}
	frame := rest[:f.Size]
	fault := f.Check(frame)
	if fault != "" {
		if f.why == "" {
			f.why = fault
		}
		f.skip(1, emit)
		return true
	}
	f.flush(emit)
	emit(f.take(f.Size, ""))
	return true
}

// skip takes n more bytes for junk and emits it while it is longer than any one
// damaged frame could be.
func (f *Packets) skip(n int, emit func(Frame)) {
	f.junk += n
	for f.junk >= 2*f.Size {
		emit(f.cut(f.Size))
	}
}

// flush emits the junk before a good frame: one damaged frame, or two when it is
// nearer to two.
func (f *Packets) flush(emit func(Frame)) {
	if 2*f.junk >= 3*f.Size {
		emit(f.cut(f.Size))
	}
	if f.junk > 0 {
		emit(f.cut(f.junk))
	}
}

// cut takes n bytes of the junk.
func (f *Packets) cut(n int) Frame {
	why := f.why
	if why == "" {
		why = fmt.Sprintf("%d bytes that begin no frame", n)
	}
	f.why = ""
	f.junk -= n
	return f.take(n, why)
}

// take takes n bytes off the front.
func (f *Packets) take(n int, fault string) Frame {
	first, last, offset := f.stamps.take(n)
	raw := bytes.Clone(f.buf[:n])
	f.buf = f.buf[n:]
	return Frame{Raw: raw, First: first, Last: last, Bytes: n, Offset: offset, Fault: fault}
}

// Rest implements Framer.
func (f *Packets) Rest() (Frame, bool) {
	if len(f.buf) == 0 {
		return Frame{}, false
	}
	f.junk, f.why = 0, ""
	return f.take(len(f.buf), "cut before its end"), true
}

// syncIn returns how many bytes of p cannot begin a frame: those before sync, or
// before a part of it at the end.
func syncIn(p, sync []byte) int {
	if i := bytes.Index(p, sync); i >= 0 {
		return i
	}
	for n := min(len(sync)-1, len(p)); n > 0; n-- {
		if bytes.HasSuffix(p, sync[:n]) {
			return len(p) - n
		}
	}
	return len(p)
}

// stamps remembers when the bytes of a buffer came and where they stand in the
// stream.
type stamps struct {
	taken int64 // bytes given out
	end   int64 // bytes that came
	marks []mark
}

// mark says that the bytes from pos on came at an instant.
type mark struct {
	pos int64
	at  time.Duration
}

// add notes n bytes.
func (s *stamps) add(at time.Duration, n int) {
	if n == 0 {
		return
	}
	if k := len(s.marks); k == 0 || s.marks[k-1].at != at {
		s.marks = append(s.marks, mark{s.end, at})
	}
	s.end += int64(n)
}

// take gives out the next n bytes, at least one, of those that came: when the
// first and the last of them came and where the first stands in the stream.
func (s *stamps) take(n int) (first, last time.Duration, offset int64) {
	offset = s.taken
	s.taken += int64(n)
	first = s.marks[0].at
	for len(s.marks) > 1 && s.marks[1].pos < s.taken {
		s.marks = s.marks[1:]
	}
	last = s.marks[0].at
	if len(s.marks) > 1 && s.marks[1].pos == s.taken {
		s.marks = s.marks[1:]
	}
	if s.taken == s.end {
		s.marks = s.marks[:0]
	}
	return first, last, offset
}

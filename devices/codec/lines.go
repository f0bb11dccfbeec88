package codec

import (
	"bytes"
	"fmt"
	"time"
)

// DefaultMaxLine bounds a line in bytes. NMEA 0183 allows 82, receivers in the
// field send up to a few hundred; 4 KiB also holds any sensible JSON line.
const DefaultMaxLine = 4096

// Lines is the framer of line protocols: frames end with LF, a CR before it and
// blank lines are dropped. A line longer than Max is emitted once, cut to Max,
// with a Fault, and skipped to its end: a stream without line ends must not eat
// the memory. NUL bytes before a line are cut off and counted in Frame.NULs:
// with parity checking on, a tty turns every byte of a damaged packet into NUL
// and glues them to the next line, which may well be intact.
type Lines struct {
	Max int // longest line in bytes; 0 = DefaultMaxLine

	line     []byte
	bytes    int // taken from the stream for the current line
	first    time.Duration
	last     time.Duration
	started  bool
	skipping bool // the rest of an over-long line is being dropped
	nuls     int  // NUL bytes that came before the line
	pos      int64
	start    int64 // where the line, or the rest that is skipped, begins
}

var _ Framer = (*Lines)(nil)

// Push implements Framer.
func (l *Lines) Push(at time.Duration, p []byte, emit func(Frame)) {
	for len(p) > 0 {
		if len(l.line) == 0 && !l.skipping {
			p = l.takeNULs(p)
		}
		if !l.started {
			l.first, l.started = at, len(p) > 0
		}
		l.last = at
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			l.take(p, emit)
			return
		}
		l.take(p[:end], emit)
		l.bytes++
		l.pos++
		p = p[end+1:]
		l.finish(emit)
	}
}

// takeNULs strips the NUL bytes in front of a line and remembers how many.
func (l *Lines) takeNULs(p []byte) []byte {
	n := 0
	for n < len(p) && p[n] == 0 {
		n++
	}
	l.nuls += n
	l.bytes += n
	l.pos += int64(n)
	return p[n:]
}

// take appends part of a line, up to the bound. What is skipped counts for no
// frame, however the stream was cut into pieces.
func (l *Lines) take(p []byte, emit func(Frame)) {
	l.pos += int64(len(p))
	if l.skipping || len(p) == 0 {
		return
	}
	limit := l.Max
	if limit <= 0 {
		limit = DefaultMaxLine
	}
	kept := p[:min(len(p), limit-len(l.line))]
	l.line = append(l.line, kept...)
	l.bytes += len(kept)
	if len(kept) == len(p) {
		return
	}
	emit(l.frame(l.line, fmt.Sprintf("longer than %d bytes without a line end", limit)))
	l.line, l.bytes, l.nuls, l.skipping = l.line[:0], 0, 0, true
}

// finish emits the line that just ended, if it holds anything.
func (l *Lines) finish(emit func(Frame)) {
	line := bytes.TrimRight(l.line, "\r")
	if !l.skipping && (l.nuls > 0 || len(bytes.TrimSpace(line)) > 0) {
		emit(l.frame(line, ""))
	}
	l.reset()
}

// Rest implements Framer.
func (l *Lines) Rest() (Frame, bool) {
	f := l.frame(l.line, "cut before its line end")
	held := len(f.Raw) > 0 || f.NULs > 0
	l.reset()
	return f, held
}

func (l *Lines) frame(line []byte, fault string) Frame {
	return Frame{Raw: bytes.Clone(line), First: l.first, Last: l.last, Bytes: l.bytes, NULs: l.nuls, Offset: l.start, Fault: fault}
}

func (l *Lines) reset() {
	l.start = l.pos
	l.line, l.bytes, l.nuls, l.started, l.skipping = l.line[:0], 0, 0, false, false
}

package journal

import (
	"errors"
	"io"
)

// scanner reads records one after another. The bytes of an entry stay valid:
// every chunk is a buffer of its own.
type scanner struct {
	r     io.ReaderAt
	pos   int64 // of the next record
	limit int64 // no byte at or beyond it is read
	chunk int   // bytes read at once
	buf   []byte
	err   error // of the last read, other than the end of the file
}

// scanChunk suits sequential reading; a catch-up reads as much at once.
const scanChunk = 256 << 10

func newScanner(r io.ReaderAt, pos, limit int64) *scanner {
	return &scanner{r: r, pos: pos, limit: limit, chunk: scanChunk}
}

// next reads the record at pos. It returns the bytes the record takes. At the
// end of the bytes it returns short with size 0 when nothing is left at all.
func (s *scanner) next(e *Entry) (size int, c condition) {
	size, c = parseRecord(s.buf, e)
	if c == short {
		want := max(size, headBytes)
		if !s.fill(want) {
			return len(s.buf), short
		}
		if size, c = parseRecord(s.buf, e); c == short {
			if size <= want || !s.fill(size) {
				return len(s.buf), short
			}
			size, c = parseRecord(s.buf, e)
		}
	}
	if c == whole {
		s.buf = s.buf[size:]
		s.pos += int64(size)
	}
	return size, c
}

// buffered reports whether the next record's header is in memory already.
func (s *scanner) buffered() bool {
	size, _, c := headOf(s.buf)
	return c == whole && len(s.buf) >= size
}

// fill makes at least want bytes from pos available, if there are so many.
func (s *scanner) fill(want int) bool {
	if len(s.buf) >= want {
		return true
	}
	room := s.limit - s.pos
	if int64(want) > room {
		want = int(max(room, 0))
		if len(s.buf) >= want {
			return false
		}
	}
	next := make([]byte, min(int64(max(want, s.chunk)), room))
	kept := copy(next, s.buf)
	n, err := readTwice(s.r, next[kept:], s.pos+int64(kept))
	if s.err = err; errors.Is(err, io.EOF) {
		s.err = nil
	}
	grown := n > 0
	s.buf = next[:kept+n]
	return grown
}

// readTwice is ReadAt that tries once more where the disk does not give the bytes:
// much hangs on whether it ever will.
func readTwice(r io.ReaderAt, p []byte, pos int64) (n int, err error) {
	if n, err = r.ReadAt(p, pos); unreadable(err) {
		n, err = r.ReadAt(p, pos)
	}
	return n, err
}

// validAfter reports whether an intact record with an offset above the given one
// lies anywhere beyond pos: then what is at pos is damage in the middle of the
// file and not the end that a crash cut. What cannot be read may be one.
func validAfter(r io.ReaderAt, pos, limit int64, offset uint64) bool {
	var e Entry
	for pos < limit {
		buf := make([]byte, min(limit-pos, 1<<20))
		n, err := readTwice(r, buf, pos)
		if n < headBytes {
			return unreadable(err)
		}
		buf = buf[:n]
		for i := 0; i+headBytes <= n; i++ {
			size, found, c := headOf(buf[i:])
			if c != whole || found <= offset || int64(size) > limit-pos-int64(i) {
				continue
			}
			one := newScanner(r, pos+int64(i), limit)
			if _, c := one.next(&e); c == whole {
				return true
			}
		}
		pos += int64(n - headBytes + 1)
	}
	return false
}

package viewer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// eventStream reads text/event-stream as the HTML standard describes it
// (section 9.2.6, "Interpreting an event stream"). Of a server that never ends a
// line or an event it keeps at most so many bytes.
type eventStream struct {
	in    io.Reader
	most  int    // bytes of a line or an event: frameLimit
	buf   []byte // read and not yet interpreted
	at    int    // where the rest begins
	begun bool   // a byte order mark can come no more
	crlf  bool   // the last line ended with CR: a LF right after it belongs to it

	line []byte // of a line that is not complete
	data []byte
	name string
	id   string
	has  bool // a data field came

	lastID string
	retry  time.Duration // what the server asked for last; 0 means nothing
}

// sseEvent is one event that was dispatched. Its data is good until the next.
type sseEvent struct {
	name string // "" means message
	data []byte
}

// idLimit bounds what is sent back as Last-Event-ID.
const idLimit = 4 << 10

// errStream marks a stream that breaks a bound.
var errStream = errors.New("event stream is without bounds")

// Events reads text/event-stream without recording anything.
type Events struct{ stream *eventStream }

// NewEvents returns a reader of the stream that in holds.
func NewEvents(in io.Reader) *Events { return &Events{newEventStream(in, "")} }

// Next returns the data of the next event, which is good until the next call. It
// blocks as in does and returns its error at the end.
func (e *Events) Next() ([]byte, error) {
	event, err := e.stream.next()
	return event.data, err
}

func newEventStream(in io.Reader, lastID string) *eventStream {
	return &eventStream{in: in, most: frameLimit, id: lastID, lastID: lastID}
}

// next returns the next event. An event that the stream's end cuts short is
// dropped, as the standard demands.
func (s *eventStream) next() (sseEvent, error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return sseEvent{}, err
		}
		if !s.begun {
			s.begun, line = true, bytes.TrimPrefix(line, []byte("\uFEFF")) // one byte order mark
		}
		if len(line) > 0 {
			if err := s.field(line); err != nil {
				return sseEvent{}, err
			}
			continue
		}
		if e, ok := s.dispatch(); ok {
			return e, nil
		}
	}
}

// dispatch ends an event at an empty line. One without data tells only its id.
func (s *eventStream) dispatch() (sseEvent, bool) {
	s.lastID = s.id
	e := sseEvent{name: s.name, data: bytes.TrimSuffix(s.data, []byte{'\n'})}
	ok := s.has
	s.data, s.name, s.has = s.data[:0], "", false
	return e, ok
}

// field takes in one line that is not empty.
func (s *eventStream) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'}) // a comment has no name
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "data":
		if len(s.data)+len(value) > s.most {
			return fmt.Errorf("%w: an event of more than %d bytes", errStream, s.most)
		}
		s.data, s.has = append(append(s.data, value...), '\n'), true
	case "event":
		s.name = string(value[:min(len(value), 256)])
	case "id":
		if len(value) > idLimit {
			return fmt.Errorf("%w: an id of more than %d bytes", errStream, idLimit)
		}
		if bytes.IndexByte(value, 0) < 0 {
			s.id = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			s.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return nil
}

// readLine returns the next line without its end: CR, LF or CRLF. After a CR it
// does not wait for what comes next.
func (s *eventStream) readLine() ([]byte, error) {
	s.line = s.line[:0]
	for {
		rest := s.buf[s.at:]
		if s.crlf && len(rest) > 0 {
			s.crlf = false
			if rest[0] == '\n' {
				s.at++
				continue
			}
		}
		if end := bytes.IndexAny(rest, "\r\n"); end >= 0 {
			s.crlf = rest[end] == '\r'
			s.at += end + 1
			s.line = append(s.line, rest[:end]...)
			return s.line, nil
		}
		if len(s.line)+len(rest) > s.most {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errStream, s.most)
		}
		s.line = append(s.line, rest...)
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more.
func (s *eventStream) fill() error {
	if s.buf == nil {
		s.buf = make([]byte, 0, 16<<10)
	}
	s.at = 0
	n, err := s.in.Read(s.buf[:cap(s.buf)])
	s.buf = s.buf[:n]
	if n == 0 && err == nil {
		return io.ErrNoProgress
	}
	if n > 0 {
		return nil // the error comes again
	}
	return err
}

package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// ErrFull says that a recording has reached its bound: what was to be written is
// left out, and Close still makes the recording whole.
var ErrFull = errors.New("replay: the recording is full")

// MinLimit is the least bound of a recording, in bytes.
const MinLimit = 4096

// endRoom is what is kept free for the last line.
const endRoom = 64

// Writer writes a timed recording, each line in one Write. It is used by one
// goroutine; errors stick.
type Writer struct {
	w     io.Writer
	limit int64 // of the file, in bytes
	size  int64
	count uint64
	last  time.Duration
	err   error
}

// NewWriter writes the header and returns a Writer of a recording of at most
// limit bytes; 0 or less is MaxBytes, all that can be read again. The caller
// closes w after Writer.Close.
func NewWriter(w io.Writer, h Header, limit int64) (*Writer, error) {
	if limit <= 0 {
		limit = MaxBytes
	}
	if limit < MinLimit || limit > MaxBytes {
		return nil, fmt.Errorf("replay: write recording: a bound of %d bytes: must be %d to %d", limit, MinLimit, MaxBytes)
	}
	h.Format = Format
	out := &Writer{w: w, limit: limit}
	return out, out.line(h)
}

// Write appends what came at offset from the start. Offsets must not fall; the
// error is ErrFull where the bound is reached.
func (w *Writer) Write(offset time.Duration, raw []byte) error {
	if len(raw) == 0 {
		return errors.New("replay: write recording: a frame without bytes")
	}
	return w.timed(offset, rawLine(raw))
}

// WriteMessage appends a message, as Write does. Its payload may be empty.
func (w *Writer) WriteMessage(offset time.Duration, m Message, payload []byte) error {
	if m.Topic == "" || m.QoS > 2 || !utf8.ValidString(m.Topic) {
		return fmt.Errorf("replay: write recording: a message with topic %q and QoS %d", m.Topic, m.QoS)
	}
	l := rawLine(payload)
	l.Topic, l.QoS, l.Retain = &m.Topic, m.QoS, m.Retain
	return w.timed(offset, l)
}

// WriteEvent appends e at its Offset, as Write does.
func (w *Writer) WriteEvent(e Event) error {
	l := timedLine{Port: e.Port, Modem: e.Modem, Errors: e.Errors, Lost: e.Lost, Withheld: e.Withheld}
	if _, events := l.tells(); events != 1 || l.Port != "" && l.Port != unplugged && l.Port != plugged {
		return fmt.Errorf("replay: write recording: an event that says not just one thing: %+v", e)
	}
	return w.timed(e.Offset, l)
}

// rawLine carries bytes as text where they are.
func rawLine(raw []byte) timedLine {
	if utf8.Valid(raw) {
		text := string(raw)
		return timedLine{Raw: &text}
	}
	return timedLine{Base64: raw}
}

func (w *Writer) timed(offset time.Duration, l timedLine) error {
	switch {
	case w.err != nil:
		return w.err
	case offset < w.last || offset > maxOffset:
		return fmt.Errorf("replay: write recording: offset %v after %v", offset, w.last)
	}
	us := offset.Microseconds()
	l.Micros = &us
	if err := w.line(l); err != nil {
		return err
	}
	w.last = offset
	w.count++
	return nil
}

// Size is how many bytes were written.
func (w *Writer) Size() int64 { return w.size }

// Close writes the last line, without which a recording counts as cut.
func (w *Writer) Close() error {
	if w.err != nil && !errors.Is(w.err, ErrFull) {
		return w.err
	}
	w.err, w.limit = nil, w.limit+endRoom
	return w.line(timedLine{End: &w.count})
}

func (w *Writer) line(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		data = append(data, '\n')
		if w.size+int64(len(data)) > w.limit-endRoom {
			w.err = ErrFull
			return w.err
		}
		_, err = w.w.Write(data)
		w.size += int64(len(data))
	}
	if err != nil {
		w.err = fmt.Errorf("replay: write recording: %w", err)
	}
	return w.err
}

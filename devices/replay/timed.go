package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"plumbline/devices/codec"
)

// Header is the first line of a timed recording.
type Header struct {
	Format string `json:"format"` // set by NewWriter
	Codec  string `json:"codec"`  // a name that codec.ByName knows
	Device string `json:"device,omitempty"`
	Note   string `json:"note,omitempty"`
}

// timedLine is any later line.
type timedLine struct {
	Micros *int64  `json:"us,omitempty"`
	Raw    *string `json:"raw,omitempty"`
	Base64 []byte  `json:"base64,omitempty"` // standard encoding with padding
	End    *uint64 `json:"end,omitempty"`
}

// isTimed tells our format from a text log by its first line.
func isTimed(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data[:min(len(data), 64)]), []byte(`{"format":`))
}

// loadTimed reads a timed recording up to its end or its first damage. An
// unknown format or codec is an error: nothing of it could be played.
func (rec *Recording) loadTimed(data []byte) error {
	position := int64(0)
	first := true
	ended := false
	for line := range bytes.Lines(data) {
		switch {
		case first:
			if err := rec.readHeader(line); err != nil {
				return err
			}
			first = false
		case len(bytes.TrimSpace(line)) > 0:
			done, reason := false, "lines after the end"
			if !ended {
				done, reason = rec.readTimedLine(line, position)
			}
			if reason != "" {
				rec.Fault = &CorruptError{Path: rec.Path, Offset: position, Reason: reason}
				return nil
			}
			ended = done
		}
		position += int64(len(line))
	}
	if !ended {
		rec.Fault = &CorruptError{Path: rec.Path, Offset: position,
			Reason: fmt.Sprintf("the recording is cut after %d frames: its last line is missing", len(rec.Entries))}
	}
	return nil
}

func (rec *Recording) readHeader(line []byte) error {
	var h Header
	if err := json.Unmarshal(line, &h); err != nil {
		return &CorruptError{Path: rec.Path, Reason: "its first line: " + err.Error()}
	}
	if h.Format != Format {
		return fmt.Errorf("replay: %q has format %q; this program reads %q", rec.Path, h.Format, Format)
	}
	c, err := codec.ByName(h.Codec)
	if err != nil && rec.Codec.Name() == h.Codec {
		c, err = rec.Codec, nil // a codec of the caller's own
	}
	if err != nil {
		return fmt.Errorf("replay: %q: %w", rec.Path, err)
	}
	rec.Codec, rec.Device, rec.Note = c, h.Device, h.Note
	return nil
}

// readTimedLine reads one line; reason is what is wrong with it, "" if nothing.
func (rec *Recording) readTimedLine(line []byte, position int64) (done bool, reason string) {
	var l timedLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, "line: " + err.Error()
	}
	count := uint64(len(rec.Entries))
	if l.End != nil {
		if *l.End != count {
			return false, fmt.Sprintf("the end counts %d frames, %d were read", *l.End, count)
		}
		return true, ""
	}
	raw := l.Base64
	if l.Raw != nil {
		raw = []byte(*l.Raw)
	}
	switch {
	case l.Micros == nil || *l.Micros < 0 || *l.Micros > int64(maxOffset/time.Microsecond):
		return false, "a frame without a usable offset"
	case len(raw) == 0:
		return false, "a frame without bytes"
	}
	offset := time.Duration(*l.Micros) * time.Microsecond
	if offset < rec.Length {
		return false, fmt.Sprintf("offset %v is earlier than %v before it", offset, rec.Length)
	}
	rec.Entries = append(rec.Entries, Entry{Offset: offset, Position: position, Raw: raw})
	rec.Length = offset
	return false, ""
}

// maxOffset bounds offsets, so that no file can overflow the clock.
const maxOffset = 366 * 24 * time.Hour

// Writer writes a timed recording. It is used by one goroutine; errors stick.
type Writer struct {
	w     io.Writer
	count uint64
	last  time.Duration
	err   error
}

// NewWriter writes the header and returns a Writer. The caller closes w after
// Writer.Close.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	if _, err := codec.ByName(h.Codec); err != nil {
		return nil, fmt.Errorf("replay: write recording: %w", err)
	}
	h.Format = Format
	out := &Writer{w: w}
	return out, out.line(h)
}

// Write appends what came at offset from the start. Offsets must not fall.
func (w *Writer) Write(offset time.Duration, raw []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case len(raw) == 0:
		return errors.New("replay: write recording: a frame without bytes")
	case offset < w.last || offset > maxOffset:
		return fmt.Errorf("replay: write recording: offset %v after %v", offset, w.last)
	}
	us := offset.Microseconds()
	l := timedLine{Micros: &us}
	if utf8.Valid(raw) {
		text := string(raw)
		l.Raw = &text
	} else {
		l.Base64 = raw
	}
	w.last = offset
	w.count++
	return w.line(l)
}

// Close writes the last line, without which a recording counts as cut.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	return w.line(timedLine{End: &w.count})
}

func (w *Writer) line(v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = w.w.Write(append(data, '\n'))
	}
	if err != nil {
		w.err = fmt.Errorf("replay: write recording: %w", err)
	}
	return w.err
}

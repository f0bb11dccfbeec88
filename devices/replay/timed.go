package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"plumbline/devices/codec"
)

// Header is the first line of a timed recording.
type Header struct {
	Format string `json:"format"`          // set by NewWriter
	Codec  string `json:"codec,omitempty"` // as codec.ByName or a file of the user's knows it; "" when nobody said what the bytes are
	Device string `json:"device,omitempty"`
	Note   string `json:"note,omitempty"`
	// Of the following a recording of version 1 has nothing.
	Serial     string    `json:"serial,omitempty"`     // number of the device or its adapter
	Source     string    `json:"source,omitempty"`     // port, or broker and topic filter
	Started    time.Time `json:"started,omitzero"`     // wall clock at offset 0
	Settings   Settings  `json:"settings,omitzero"`    // of the port or the connection
	Anonymised bool      `json:"anonymised,omitempty"` // identities and positions were replaced
}

// Settings are how the source was read; what does not concern it is zero.
type Settings struct {
	Baud     int    `json:"baud,omitempty"`
	DataBits int    `json:"data_bits,omitempty"`
	Parity   string `json:"parity,omitempty"`
	StopBits int    `json:"stop_bits,omitempty"`
	MQTT     string `json:"mqtt,omitempty"` // version of the protocol
	QoS      byte   `json:"qos,omitempty"`  // what was subscribed
}

// Message is how an MQTT message was published; its payload is the entry's Raw.
type Message struct {
	Topic  string
	QoS    byte // as it came: the lower one of publisher and subscription
	Retain bool // with MQTT 3.1.1 only for messages that were there before the subscription
}

// Modem is what a device had on the modem lines of its port.
type Modem struct {
	CTS bool `json:"cts"`
	DSR bool `json:"dsr"`
	DCD bool `json:"dcd"`
	RI  bool `json:"ri"`
}

// LineErrors are what the kernel counted on a serial line since it was last asked.
type LineErrors struct {
	Break   uint32 `json:"break,omitempty"`   // breaks
	Frame   uint32 `json:"frame,omitempty"`   // characters without stop bit
	Parity  uint32 `json:"parity,omitempty"`  // characters of wrong parity
	Overrun uint32 `json:"overrun,omitempty"` // characters lost in the UART
	Buffer  uint32 `json:"buffer,omitempty"`  // characters lost in the kernel
}

// Event is what happened beside the bytes. One of its fields is set.
type Event struct {
	Offset   time.Duration // from the start of the recording
	Position int64         // where it stands in the file, in bytes
	Port     string        // "unplugged" or "plugged"
	Modem    *Modem        // the state from here on
	Errors   *LineErrors
	Lost     uint64 // messages that came and could not be kept
	Withheld uint64 // messages that anonymising kept back
}

// timedLine is any later line.
type timedLine struct {
	Micros   *int64      `json:"us,omitempty"`
	Topic    *string     `json:"topic,omitempty"`
	QoS      byte        `json:"qos,omitempty"`
	Retain   bool        `json:"retain,omitempty"`
	Raw      *string     `json:"raw,omitempty"`
	Base64   []byte      `json:"base64,omitempty"` // standard encoding with padding
	Port     string      `json:"port,omitempty"`
	Modem    *Modem      `json:"modem,omitempty"`
	Errors   *LineErrors `json:"errors,omitempty"`
	Lost     uint64      `json:"lost,omitempty"`
	Withheld uint64      `json:"withheld,omitempty"`
	End      *uint64     `json:"end,omitempty"`
}

// Ports that an event can tell of.
const (
	unplugged = "unplugged"
	plugged   = "plugged"
)

// tells counts what the line tells: bytes as one, each event as another.
func (l timedLine) tells() (bytes, events int) {
	for _, is := range []bool{l.Port != "", l.Modem != nil, l.Errors != nil, l.Lost != 0, l.Withheld != 0} {
		if is {
			events++
		}
	}
	for _, is := range []bool{l.Raw != nil, len(l.Base64) > 0} {
		if is {
			bytes++
		}
	}
	return bytes, events
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
				if !bytes.HasSuffix(line, []byte("\n")) {
					reason += fmt.Sprintf("; the recording is cut within a line, after %d frames", len(rec.Entries))
				}
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
	if h.Format != Format && h.Format != formatOne {
		return fmt.Errorf("replay: %q has format %q; this program reads %q and %q", rec.Path, h.Format, Format, formatOne)
	}
	rec.Header, rec.Device, rec.Note = h, h.Device, h.Note
	if h.Codec == "" && h.Format == Format || rec.Codec.Name() == h.Codec {
		return nil // the caller's, which may be of his own
	}
	c, err := codec.ByName(h.Codec)
	if err != nil {
		return fmt.Errorf("replay: %q: %w", rec.Path, err)
	}
	rec.Codec = c
	return nil
}

// readTimedLine reads one line; reason is what is wrong with it, "" if nothing.
func (rec *Recording) readTimedLine(line []byte, position int64) (done bool, reason string) {
	var l timedLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, "line: " + err.Error()
	}
	count := uint64(len(rec.Entries) + len(rec.Events))
	if l.End != nil {
		if *l.End != count {
			return false, fmt.Sprintf("the end counts %d frames, %d were read", *l.End, count)
		}
		return true, ""
	}
	if l.Micros == nil || *l.Micros < 0 || *l.Micros > int64(maxOffset/time.Microsecond) {
		return false, "a frame without a usable offset"
	}
	offset := time.Duration(*l.Micros) * time.Microsecond
	if offset < rec.Length {
		return false, fmt.Sprintf("offset %v is earlier than %v before it", offset, rec.Length)
	}
	switch pieces, events := l.tells(); {
	case pieces+events > 1:
		return false, "a line that tells more than one thing"
	case events == 1 && l.Topic != nil:
		return false, "an event with a topic"
	case l.Port != "" && l.Port != unplugged && l.Port != plugged:
		return false, fmt.Sprintf("a port that is %q", l.Port)
	case events == 1:
		rec.Events = append(rec.Events, Event{Offset: offset, Position: position,
			Port: l.Port, Modem: l.Modem, Errors: l.Errors, Lost: l.Lost, Withheld: l.Withheld})
		rec.Length = offset
		return false, ""
	}
	e := Entry{Offset: offset, Position: position, Raw: l.Base64}
	if l.Raw != nil {
		e.Raw = []byte(*l.Raw)
	}
	switch {
	case l.Topic == nil && len(e.Raw) == 0:
		return false, "a frame without bytes"
	case l.Topic != nil && (*l.Topic == "" || l.QoS > 2):
		return false, fmt.Sprintf("a message with topic %q and QoS %d", *l.Topic, l.QoS)
	case l.Topic != nil:
		e.Message = &Message{Topic: *l.Topic, QoS: l.QoS, Retain: l.Retain}
	}
	rec.Entries = append(rec.Entries, e)
	rec.Length = offset
	return false, ""
}

// maxOffset bounds offsets, so that no file can overflow the clock.
const maxOffset = 366 * 24 * time.Hour

package codec

import (
	"bytes"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"plumbline/devices"
)

// Payload decodes the payload of a sensor that publishes by itself: a JSON
// object, one bare number, or a text. MQTT carries payloads whole, so there is
// no check to fail; only a payload that begins like an object and is none is
// damaged, and one that is not UTF-8 is unchecked (a binary format of its own).
type Payload struct {
	Units map[string]string // UCUM symbols by value name; optional
}

var _ Codec = Payload{}

// Name implements Codec.
func (Payload) Name() string { return "payload" }

// NewFramer implements Codec: every Push is one frame, as MQTT delivers it.
func (Payload) NewFramer() Framer { return &whole{} }

// Decode implements Codec. An empty payload gives no values and no error.
func (c Payload) Decode(frame []byte) ([]devices.Value, error) {
	body := bytes.TrimSpace(frame)
	switch {
	case len(body) == 0:
		return nil, nil
	case !utf8.Valid(body):
		return nil, unchecked("%d bytes that are not text", len(body))
	case body[0] == '{':
		return decodeObject(body, c.Units)
	}
	if n, err := strconv.ParseFloat(string(body), 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
		return []devices.Value{{Name: "value", Unit: c.Units["value"], Number: n}}, nil
	}
	return []devices.Value{{Name: "text", Text: string(body), IsText: true}}, nil
}

// whole is the framer of transports that deliver whole messages.
type whole struct{ pos int64 }

// Push implements Framer.
func (w *whole) Push(at time.Duration, p []byte, emit func(Frame)) {
	emit(Frame{Raw: bytes.Clone(p), First: at, Last: at, Bytes: len(p), Offset: w.pos})
	w.pos += int64(len(p))
}

// Rest implements Framer: there is never an unfinished message.
func (*whole) Rest() (Frame, bool) { return Frame{}, false }

// Chunks takes every read of a line as a frame and decodes nothing: it is for
// drivers that hold a conversation and know only from what they asked where an
// answer ends.
type Chunks struct{}

var _ Codec = Chunks{}

// Name implements Codec.
func (Chunks) Name() string { return "chunks" }

// NewFramer implements Codec.
func (Chunks) NewFramer() Framer { return &whole{} }

// Decode implements Codec: there are never values.
func (Chunks) Decode([]byte) ([]devices.Value, error) { return nil, nil }

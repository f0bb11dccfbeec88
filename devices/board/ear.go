package board

import (
	"strings"
	"sync"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// Ear hears among the lines of a device the answers to what it was told: they are
// no readings, and no faults. The zero value hears nothing.
type Ear struct {
	answers []Template // read only

	mu      sync.Mutex
	awaited string        // the answer that is waited for, "" for none; owned by mu
	came    chan struct{} // closed when it has come; owned by mu
}

// NewEar returns one that knows these answers.
func NewEar(answers []Template) *Ear { return &Ear{answers: answers} }

// On returns the codec with the ear at its lines. It must be one of lines, see
// OfLines.
func (e *Ear) On(c codec.Codec) codec.Codec { return heard{c, e} }

// OfLines reports whether a codec cuts a stream into lines of text, among which an
// answer can stand.
func OfLines(c codec.Codec) bool {
	_, is := c.NewFramer().(*codec.Lines)
	return is
}

// await begins to wait for an answer; forget ends that.
func (e *Ear) await(line string) (came <-chan struct{}, forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.awaited, e.came = strings.TrimSpace(line), make(chan struct{})
	return e.came, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.awaited = ""
	}
}

// hear reports whether a line is an answer.
func (e *Ear) hear(line string) bool {
	is := false
	for _, t := range e.answers {
		is = is || t.Is(line)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.awaited == "" || strings.TrimSpace(line) != e.awaited {
		return is
	}
	e.awaited = ""
	close(e.came)
	return true
}

// heard is a codec with an ear at its lines.
type heard struct {
	codec.Codec
	ear *Ear
}

var _ codec.Stateful = heard{}

// NewDecoder implements codec.Stateful.
func (h heard) NewDecoder() codec.Decoder { return &hearing{codec.NewDecoder(h.Codec), h.ear} }

// hearing is its decoder.
type hearing struct {
	codec.Decoder
	ear *Ear
}

// Decode implements codec.Decoder.
func (h *hearing) Decode(frame []byte) ([]devices.Value, error) {
	if h.ear.hear(string(frame)) {
		return nil, &codec.Reject{Class: codec.Control, Reason: "an answer to a command"}
	}
	return h.Decoder.Decode(frame)
}

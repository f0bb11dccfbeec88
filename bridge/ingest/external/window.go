package external

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"plumbline/bridge/journal"
)

// memory is what the journal has to remember for a source.
type memory interface {
	Producer(name string) (seq, offset uint64, known bool)
	Read(after uint64, maxEntries, maxBytes int) ([]journal.Entry, error)
}

// window knows the packet identifiers of the latest messages and where in the journal these are, so that a message whose
// acknowledgement was lost is known again when the broker delivers it once more. Its memory is the journal's table of producers:
// each stored message carries its slot as the producer and counter<<16|identifier as the sequence, so both are written in one
// record and survive whatever the message survives.
//
// A broker has at most Receive Maximum messages without acknowledgement, and acknowledgements arrive in order: only the latest
// size messages can be delivered again. That an identifier means the same message is certain only while identifiers are not
// given again within that span. Most brokers count up; one that always takes the lowest free identifier never uses more than
// size of them. So the window trusts identifiers only after 2×size messages that all had different ones. A single repetition
// takes the trust away for as many messages again. Used by the reading goroutine only.
type window struct {
	size   uint64
	names  []string
	slots  []slot
	count  uint64 // messages so far
	breach uint64 // count at the last repetition
}

// slot is the latest message whose identifier belongs to it.
type slot struct {
	count  uint64 // 0 = none
	id     uint16
	offset uint64 // 0 = not in the journal yet
}

// producerPrefix begins the producer names of this package. An MQTT client cannot have such a name: NUL is in no string of
// MQTT [MQTT-1.5.4-2], and the name of a user is not empty.
const producerPrefix = "\x00ext\x00"

// digest makes a short name out of what identifies a thing.
func digest(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// newWindow recalls the window of a session from the journal.
func newWindow(m memory, size int, session ...any) *window {
	w := &window{size: uint64(size), names: make([]string, 2*size), slots: make([]slot, 2*size)}
	base := producerPrefix + digest(append(session, size)...)
	seen := map[uint64]bool{}
	for i := range w.slots {
		w.names[i] = fmt.Sprintf("%s.%d", base, i)
		seq, offset, known := m.Producer(w.names[i])
		if !known {
			continue
		}
		w.slots[i] = slot{count: seq >> 16, id: uint16(seq), offset: offset}
		w.count = max(w.count, seq>>16)
		seen[seq>>16] = true
	}
	w.breach = w.count
	for w.breach > 0 && seen[w.breach] {
		w.breach--
	}
	return w
}

// trusted reports whether the broker's identifiers are known to be good for recognising a message.
func (w *window) trusted() bool { return w.count-w.breach >= uint64(len(w.slots)) }

// take counts a message under this identifier and returns its count. A new message under an identifier that is in the span is
// a repetition; one that is delivered again proves nothing, in neither direction.
func (w *window) take(id uint16, again bool) (count uint64) {
	w.count++
	s := &w.slots[int(id)%len(w.slots)]
	switch {
	case again:
		w.breach++
	case s.count != 0 && w.count-s.count < uint64(len(w.slots)):
		w.breach = w.count
	}
	*s = slot{count: w.count, id: id}
	return w.count
}

// producer returns producer and sequence of a message that was taken.
func (w *window) producer(id uint16, count uint64) (name string, seq uint64) {
	return w.names[int(id)%len(w.names)], count<<16 | uint64(id)
}

// stored notes where a message that was taken is in the journal.
func (w *window) stored(id uint16, count, offset uint64) {
	if s := &w.slots[int(id)%len(w.slots)]; s.count == count {
		s.offset = offset
	}
}

// drop forgets a message that was taken and is not in the journal.
func (w *window) drop(id uint16, count uint64) {
	if s := &w.slots[int(id)%len(w.slots)]; s.count == count {
		*s = slot{}
	}
}

// forget makes all identifiers unknown: the session that they belong to is no more.
func (w *window) forget() {
	w.count += uint64(len(w.slots))
	w.breach = w.count
}

// has reports whether m, delivered again under this identifier, is in the journal already.
func (w *window) has(mem memory, id uint16, m *journal.Message) bool {
	s := w.slots[int(id)%len(w.slots)]
	if !w.trusted() || s.offset == 0 || s.id != id || w.count-s.count >= w.size {
		return false
	}
	found, err := mem.Read(s.offset-1, 1, 0)
	if err != nil || len(found) == 0 { // evicted meanwhile: better twice than lost
		return false
	}
	e := &found[0]
	return e.Offset == s.offset && e.Topic == m.Topic && e.QoS == m.QoS && e.Retain == m.Retain && bytes.Equal(e.Payload, m.Payload)
}

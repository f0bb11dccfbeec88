package external

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"plumbline/bridge/journal"
)

// memory is what the journal has to remember for a source.
type memory interface {
	Producer(name string) (seq, offset uint64, known bool)
	Read(after uint64, maxEntries, maxBytes int) ([]journal.Entry, error)
	Head() journal.Cursor
}

// window knows the packet identifiers and digests of the latest messages in the journal, so that a message whose acknowledgement
// did not arrive is known again when the broker delivers it once more, with its identifier and DUP [MQTT-4.4.0-1].
//
// How many those can be is not for the bridge to say. Receive Maximum ought to bound them, but Mosquitto up to 2.0.12 puts as
// many messages under way for each PUBACK, so that a whole backlog is without acknowledgement; and a connection that breaks
// takes every acknowledgement with it that the broker has not read. So the window is half of the identifiers that there are.
//
// That an identifier means the same message is certain only with a broker that counts them up. The window is one run of
// rising identifiers; one that does not follow the last begins a new run. A broker that takes the lowest free identifier never
// needs one above Receive Maximum, so a run is trusted once it has one that is. A broker that begins with 1 at each connection
// is found out by that 1. Without trust a message is rather stored twice than lost.
//
// Its memory is the journal: each message carries the window's name as its producer, and counter, trust, DUP and identifier as
// its sequence, so they are written in the message's own record and survive whatever the message survives. Used by the reading
// goroutine only.
type window struct {
	most  uint16 // Receive Maximum
	name  string // of the producer
	own   string // begins the names of all producers of this source
	seed  maphash.Seed
	count uint64 // messages so far

	run  []seen // rising, the last at most span-1 after the first
	line line   // of what is in the journal
	tip  line   // of what has arrived

	fresh bool // no message came on this connection yet
}

// line is how far the identifiers of a broker have come.
type line struct {
	last    uint16 // 0 = no message yet
	trusted bool   // they count up
}

// step takes the identifier of a message, which with again was delivered before. It returns whether a run goes on with it,
// whether a new one begins, or neither: it is from before the run and says nothing of what comes next.
func (l *line) step(id uint16, again bool, most uint16) (on, anew bool) {
	ahead := steps(l.last, id)
	on = l.last != 0 && ahead > 0 && ahead < span
	if !on && again && l.last != 0 {
		return false, false
	}
	l.last = id
	l.trusted = on && l.trusted || !again && id > most
	return on, !on
}

// seen is a message in the journal.
type seen struct {
	id     uint16
	digest uint64
}

const (
	identifiers = 1<<16 - 1 // 0 is none
	span        = 1 << 15   // half of them: what is further ahead is behind
)

// Every markEvery-th message is a mark, of a producer of its own, whose place the journal's table of producers holds: so a new
// process finds the window's begin without reading the whole journal.
const (
	markEvery = 1 << 11
	marks     = span / markEvery
)

// The sequence of a message: what is below countShift is not counted.
const (
	seqAgain   = 1 << 16
	seqTrusted = 1 << 17
	countShift = 18
)

// recallMost bounds how many entries of the journal a new process reads for a window; all messages of all sources count.
const recallMost = 1 << 20

// producerPrefix begins the producer names of this package. An MQTT client cannot have such a name: NUL is in no string of
// MQTT [MQTT-1.5.4-2], and the name of a user is not empty.
const producerPrefix = "\x00ext\x00"

// digest makes a short name out of what identifies a thing.
func digest(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// producersOf begins the names of the producers of one source.
func producersOf(source string) string { return producerPrefix + source + "\x00" }

// newWindow recalls the window of a session from the journal; session is what makes it another one than others of this source.
// With an error it lacks what could not be read.
func newWindow(m memory, source string, most int, session ...any) (*window, error) {
	w := &window{most: uint16(most), own: producersOf(source), seed: maphash.MakeSeed()}
	w.name = w.own + digest(append(session, most)...)
	head := m.Head().Offset
	from := max(w.begin(m), head-min(head, recallMost))
	for w.count > 0 && from < head {
		entries, err := m.Read(from, 1<<12, 1<<20)
		var gone journal.ErrEvicted
		if errors.As(err, &gone) && gone.First > from+1 {
			from = gone.First - 1
			continue
		}
		if err != nil {
			return w, fmt.Errorf("recall what was received: %w", err)
		}
		for i := range entries {
			w.recall(&entries[i])
			from = entries[i].Offset
		}
	}
	return w, nil
}

// begin finds the counter, and returns the offset after which the window's messages are; 0 when the marks do not tell.
func (w *window) begin(m memory) (after uint64) {
	last, _, _ := m.Producer(w.name)
	type place struct{ count, offset uint64 }
	var found []place
	for k := range uint64(marks) {
		seq, offset, known := m.Producer(w.mark(k))
		if last = max(last, seq); known {
			found = append(found, place{seq >> countShift, offset})
		}
	}
	w.count = last >> countShift
	found = slices.DeleteFunc(found, func(p place) bool { return w.count-p.count >= span })
	if len(found) == 0 {
		return 0
	}
	oldest := slices.MinFunc(found, func(a, b place) int { return cmp.Compare(a.count, b.count) })
	return oldest.offset - 1
}

// mark names the producer of a mark.
func (w *window) mark(k uint64) string { return fmt.Sprintf("%s.%d", w.name, k) }

// producer counts a new message and returns what the journal knows it by.
func (w *window) producer(id uint16, again bool) (name string, seq uint64) {
	name = w.name
	if w.count%markEvery == 0 {
		name = w.mark(w.count / markEvery % marks)
	}
	w.count++
	seq = w.count<<countShift | uint64(id)
	if again {
		seq |= seqAgain
	}
	if w.tip.trusted {
		seq |= seqTrusted
	}
	return name, seq
}

// recall takes an entry of the journal as it was taken when it came.
func (w *window) recall(e *journal.Entry) {
	switch {
	case e.QoS == 0 || !strings.HasPrefix(e.Producer, w.own):
	case strings.HasPrefix(e.Producer, w.name):
		if w.line.trusted && e.ProducerSeq&seqTrusted == 0 {
			w.run, w.line = nil, line{} // the broker had begun anew in between, with messages that were not stored
		}
		w.add(uint16(e.ProducerSeq), e.ProducerSeq&seqAgain != 0, w.content(&e.Message))
		w.line.trusted = w.line.trusted || e.ProducerSeq&seqTrusted != 0
	case w.line.last != 0: // with a sequence of its own: it had one of the identifiers in between
		w.line.last = w.line.last%identifiers + 1
		w.trim()
	}
}

// content makes the content of a message short.
func (w *window) content(m *journal.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(w.seed)
	_, _ = h.WriteString(m.Topic)
	flags := m.QoS
	if m.Retain {
		flags |= 4
	}
	_, _ = h.Write([]byte{0, flags})
	_, _ = h.Write(m.Payload)
	return h.Sum64()
}

// steps is how far to is ahead of from.
func steps(from, to uint16) int { return (int(to) - int(from) + identifiers) % identifiers }

// add takes a message that is in the journal now; again says that it had DUP.
func (w *window) add(id uint16, again bool, digest uint64) {
	on, anew := w.line.step(id, again, w.most)
	if anew {
		w.run = nil
	}
	if on || anew {
		w.run = append(w.run, seen{id, digest})
		w.trim()
	}
}

// trim drops what is too far behind the latest.
func (w *window) trim() {
	for len(w.run) > 0 && steps(w.run[0].id, w.line.last) >= span {
		w.run = w.run[1:]
	}
}

// connected notes that a connection begins; what had arrived and did not get into the journal comes again.
func (w *window) connected() { w.tip, w.fresh = w.line, true }

// arrived notes the identifier of any message, before anything else is asked about it.
func (w *window) arrived(id uint16, again bool) {
	if w.fresh && id == 1 {
		w.run, w.line, w.tip = nil, line{}, line{} // the broker counts anew at each connection, or has come around
	}
	w.fresh = false
	if _, anew := w.tip.step(id, again, w.most); anew && !again {
		w.run, w.line = nil, line{} // the broker counts from here: what it delivers again may be another message than that of this identifier
	}
}

// has reports whether a message that is delivered again is in the journal already.
func (w *window) has(id uint16, digest uint64) bool {
	if !w.line.trusted || len(w.run) == 0 {
		return false
	}
	first := w.run[0].id
	i, found := slices.BinarySearchFunc(w.run, steps(first, id), func(s seen, want int) int { return cmp.Compare(steps(first, s.id), want) })
	return found && w.run[i].digest == digest
}

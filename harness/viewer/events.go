package viewer

import (
	"fmt"
	"time"

	"plumbline/harness/record"
)

// What a server can make a viewer keep is bounded.
const (
	noteLimit  = 100      // malformed frames, and topics outside of the filters, that are written down
	topicBytes = 16 << 20 // names of topics that are kept, with what a map needs beside each
	topicCost  = 64       // bytes of that beside a name
	textLimit  = 1000     // bytes of a text of the server in an event or error
	eventFloor = 100_000  // events that a server may cause beside one for each reading

	plausibleEvery = 10_000 // readings between two looks at Config.Plausible
)

// event writes an event that is stamped now; pairs are field names and values,
// "" values are left out.
func (v *Viewer) event(kind record.EventKind, detail string, pairs ...string) {
	v.eventAt(v.clock.Now(), kind, detail, pairs...)
}

// eventAt is event with the stamp of the frame that told of it. Texts of the
// server may hold anything, a token included, and be of any length. What a
// server causes beyond all measure is not written down: it ends the viewer.
func (v *Viewer) eventAt(at int64, kind record.EventKind, detail string, pairs ...string) {
	if v.spent.Add(1) <= v.eventLimit() {
		v.keep(at, kind, detail, pairs...)
	}
}

// eventLimit is how many events a server may cause beside one for each reading.
func (v *Viewer) eventLimit() int64 {
	if v.cfg.eventLimit > 0 {
		return v.cfg.eventLimit
	}
	return eventFloor
}

// keep writes an event down whatever the server has caused before.
func (v *Viewer) keep(at int64, kind record.EventKind, detail string, pairs ...string) {
	fields := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fields[pairs[i]] = v.tokens.excerpt(pairs[i+1], textLimit)
		}
	}
	v.cfg.Recorder.Event(record.Event{At: at, Kind: kind, Subject: v.cfg.Name, Detail: v.tokens.excerpt(detail, textLimit), Fields: fields})
}

// tookLocked counts a frame that was handled, with what was wrong with it, and
// wakes those who wait. Its error wraps ErrFlood and ends the session.
func (v *Viewer) tookLocked(frame []byte, err error) error {
	v.counters.Messages++
	v.counters.Bytes += uint64(len(frame))
	if err != nil {
		v.counters.Malformed++
		if v.counters.Malformed <= noteLimit {
			shown := v.tokens.excerpt(string(frame[:min(len(frame), excerptLimit)]), textLimit)
			v.event(record.Note, "malformed frame", "error", err.Error(), "frame", fmt.Sprintf("%.200q", shown))
		}
	}
	if v.flood == nil && v.spent.Load() > v.eventLimit() {
		v.flood = fmt.Errorf("%w: it caused more than %d events beside its readings", ErrFlood, v.eventLimit())
	}
	v.wakeLocked()
	return v.flood
}

// outsideLocked writes down the first readings under topics that nobody asked
// for. The records hold all of them.
func (v *Viewer) outsideLocked(at int64, topic string, pairs ...string) {
	if v.outside++; v.outside <= noteLimit {
		v.eventAt(at, record.Note, "reading outside of the filter", append([]string{"topic", topic}, pairs...)...)
	}
}

// reading is one message as the server passed it on. Its slices are the
// dialect's own and are not kept.
type reading struct {
	offset  uint64 // in the journal of the server, 0 when it does not tell
	topic   []byte
	payload []byte
	flags   uint8
	epoch   uint32 // number of the journal in the recording
}

// recordLocked keeps one reading, stamped with the time at which the last byte
// of its frame had been read. kind is Received for live data and Restored for
// the last values that a new viewer gets. Who counts is countLocked.
func (v *Viewer) recordLocked(at int64, kind record.Kind, topic string, r reading) {
	if v.flood != nil {
		return
	}
	rec := record.Record{
		Kind: kind, Flags: r.flags, Node: v.node, Stream: record.NoStream, At: at,
		Digest: v.cfg.Recorder.Digest(r.payload), Offset: r.offset, Bytes: uint32(len(r.payload)), Aux: r.epoch,
	}
	if v.cfg.Resolve != nil {
		var flags uint8
		rec.Stream, rec.Seq, flags = v.cfg.Resolve(topic, r.payload)
		rec.Flags |= flags
		if kind == record.Received && !v.came.First(rec.Stream, rec.Seq) {
			v.counters.Again++
		}
	} else {
		rec.Flags |= record.FlagForeign
	}
	v.cfg.Recorder.Add(rec)
}

// countLocked counts readings that were recorded.
func (v *Viewer) countLocked(kind record.Kind, n uint64) {
	v.spent.Add(-int64(n))
	if kind != record.Received {
		v.counters.Restored += n
	} else {
		v.counters.Received += n
		if n > 0 {
			v.last = time.Now()
		}
	}
	v.boundLocked()
}

// boundLocked notices a server that sends more than there is.
func (v *Viewer) boundLocked() {
	total := v.counters.Received + v.counters.Restored
	if v.cfg.Plausible == nil || v.flood != nil || total-v.asked < plausibleEvery {
		return
	}
	v.asked = total
	if most := v.cfg.Plausible(); total > most {
		v.flood = fmt.Errorf("%w: %d came, %d are plausible", ErrFlood, total, most)
	}
}

// topics keeps one string for each topic that was seen.
type topics map[string]string

// topicLocked returns a topic as a string; fresh says that it was not seen
// before. When there is no room for more names none is fresh any more.
func (v *Viewer) topicLocked(seen topics, raw []byte) (topic string, fresh bool) {
	topic, known := seen[string(raw)]
	if known {
		return topic, false
	}
	topic = string(raw)
	cost := len(topic) + topicCost
	if v.named+cost > topicBytes {
		return topic, false
	}
	v.named += cost
	seen[topic] = topic
	return topic, true
}

package wire

import (
	"strconv"
	"sync"
	"time"

	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
)

// partBytes is the soft size of one part of a snapshot: only a single larger reading makes a larger part.
const partBytes = 32 << 10

// maxSnapshots is how many snapshots may be under way at once, from taking them to their last part: each holds a record per
// topic, and making one takes the processor from live delivery.
const maxSnapshots = 16

// place waits until the session may take a snapshot: one at a time, and of all sessions maxSnapshots. It reports false when the
// connection ended meanwhile. A viewer that reads slowly keeps the others waiting for the write timeout at most. The reader
// waits here, so what the viewer sends next waits too.
func (s *session) place() (release func(), ok bool) {
	if s.own == nil {
		s.own = make(chan struct{}, 1)
	}
	for _, queue := range []chan struct{}{s.own, s.srv.snapshots} {
		select {
		case queue <- struct{}{}:
		case <-s.last:
			return nil, false
		}
	}
	giveBack := sync.OnceFunc(func() { <-s.srv.snapshots })
	time.AfterFunc(s.srv.opts.WriteTimeout, giveBack)
	return sync.OnceFunc(func() { <-s.own; giveBack() }), true
}

// snapshot hands out the last values of a subscription in parts. Only where the parts end is kept; each is encoded when the
// viewer has room for it, so that a slow viewer with many topics costs no encoded copy.
type snapshot struct {
	id      int64
	dialect dialect
	printer *hub.Printer
	entries []journal.Entry
	ends    []int // index after the last entry of each part
	part    int   // parts handed out

	allow func(topic string) bool // nil allows all; follows the access list until all is handed out
}

// newSnapshot splits the entries into parts. Nil entries make one empty part, so that the viewer learns that there is nothing.
func newSnapshot(id int64, d dialect, p *hub.Printer, entries []journal.Entry, allow func(topic string) bool) *snapshot {
	s := &snapshot{id: id, dialect: d, printer: p, entries: entries, allow: allow}
	var scratch []byte
	size := 0
	for i, e := range entries {
		scratch = hub.AppendReading(scratch[:0], e) // no other format makes it longer
		if size > 0 && size+len(scratch)+1 > partBytes {
			s.ends = append(s.ends, i)
			size = 0
		}
		size += len(scratch) + 1
	}
	s.ends = append(s.ends, len(entries))
	return s
}

func (s *snapshot) done() bool { return s.part == len(s.ends) }

// next returns the next part and the topics that stand in it by number.
func (s *snapshot) next() (body []byte, names []*hub.Name) {
	from := 0
	if s.part > 0 {
		from = s.ends[s.part-1]
	}
	r := hub.Readings{Format: s.dialect.format}
	for i := from; i < s.ends[s.part]; i++ {
		e := s.entries[i]
		s.entries[i] = journal.Entry{} // handed out: let it go
		if s.allow == nil || s.allow(e.Topic) {
			s.printer.Add(&r, &e)
		}
	}
	s.part++
	if s.dialect.binary {
		body = hub.AppendCBOR(body, hub.CBORMap, uint64(4+r.Members()))
		body = appendCBORHead(body, "snapshot", s.id)
		body = hub.AppendCBORInt(hub.AppendCBORText(body, "part"), int64(s.part))
		body = hub.AppendCBORInt(hub.AppendCBORText(body, "parts"), int64(len(s.ends)))
		return r.AppendTail(body), r.Names
	}
	body = append(body, `{"type":"snapshot","id":`...)
	body = strconv.AppendInt(body, s.id, 10)
	body = append(body, `,"part":`...)
	body = strconv.AppendInt(body, int64(s.part), 10)
	body = append(body, `,"parts":`...)
	body = strconv.AppendInt(body, int64(len(s.ends)), 10)
	return r.AppendTail(append(body, ',')), r.Names
}

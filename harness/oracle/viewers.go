package oracle

import (
	"slices"
	"time"

	"plumbline/harness/record"
)

// viewer is what one viewer received.
type viewer struct {
	name    string
	isView  bool
	filters []string
	streams []received
	lost    []int64           // when its connections ended, ascending
	left    []int64           // of those: when it ended them itself
	offsets map[uint32]uint64 // last live journal offset by epoch; nil when it has several filters
}

// received is what one viewer received of one stream.
type received struct {
	owed    bool  // the filters take the topic
	since   int64 // when one of those first was subscribed; nothing before is owed
	arrived arrivals
	highest uint64 // largest position so far
	rank    uint32 // largest rank at the witness so far
	shown   uint64 // largest position of a snapshot so far
	match   foreignMatch
}

// oddityKind says what was wrong with an arrival.
type oddityKind uint8

const (
	duplicate oddityKind = iota
	reordered
	excused // reordered, but the witness saw that order too
	stale
	backwards
	corrupted
	phantom
	misrouted
	redelivered // a duplicate that QoS 1 allows
)

var oddityNames = [...]string{"duplicate", "reordered", "reordered", "stale", "offset-backwards", "corrupt", "phantom", "misrouted", "redelivered"}

// oddity is one arrival that should not have been as it was.
type oddity struct {
	record int // index into Log.Records
	seq    uint64
	kind   oddityKind
}

// indexViewers follows every viewer through its arrivals, in its own order.
func (h *History) indexViewers() {
	connections := map[string][]record.Event{}
	for _, e := range h.events {
		if e.Kind == record.Disconnected || e.Kind == record.Subscribed {
			connections[e.Subject] = append(connections[e.Subject], e)
		}
	}
	for n, node := range h.log.Index.Nodes {
		v := &h.viewers[n]
		v.name, v.filters, v.isView = node.Name, node.Filters, node.Role == "viewer"
		if !v.isView {
			continue
		}
		subscribed := firstSubscribed(connections[node.Name])
		for _, e := range connections[node.Name] {
			if e.Kind == record.Disconnected {
				v.lost = append(v.lost, e.At)
				if e.Fields["reason"] == record.ReasonClosed {
					v.left = append(v.left, e.At)
				}
			}
		}
		if len(node.Filters) == 1 {
			v.offsets = map[uint32]uint64{}
		}
		v.streams = make([]received, len(h.streams))
		for s := range v.streams {
			v.streams[s].owed = takes(node.Filters, h.log.Index.Streams[s].Topic)
			if v.streams[s].owed {
				v.streams[s].since = since(subscribed, h.log.Index.Streams[s].Topic)
			}
		}
	}
	for i := range h.log.Records {
		r := &h.log.Records[i]
		if (r.Kind == record.Received || r.Kind == record.Restored) && h.viewers[r.Node].isView {
			h.arrive(i, r)
		}
	}
}

// arrive enters one arrival and notes what is wrong with it.
func (h *History) arrive(i int, r *record.Record) {
	v := &h.viewers[r.Node]
	switch {
	case r.Stream == record.NoStream:
		h.note(i, r.Seq, phantom)
		return
	case r.Flags&record.FlagCorrupt != 0:
		h.note(i, r.Seq, corrupted)
		return
	case r.Flags&record.FlagMisrouted != 0:
		h.note(i, r.Seq, misrouted)
		return
	}
	got := &v.streams[r.Stream] // outside its filters, too: an access matter, still followed for order
	if r.Kind == record.Restored {
		h.restored(i, r, got)
		return
	}
	seq := r.Seq
	if seq == 0 {
		seq, _ = got.match.find(&h.streams[r.Stream], r.Digest, func(seq uint64) bool {
			return got.arrived.of(seq) != 0
		}, func(seq uint64) bool { return h.streams[r.Stream].isAhead(seq, r.At) })
	}
	m := h.at(r.Stream, seq)
	if m == nil || !m.wasSent() {
		h.note(i, seq, phantom)
		return
	}
	if first := got.arrived.of(seq); first != 0 {
		h.note(i, seq, h.again(r, v, first))
		return
	}
	got.arrived.set(seq, max(r.At, 1))
	if h.followOrder(i, r, seq, m, got) {
		h.followOffset(i, r, seq, v)
	}
}

// underWay is how long an acknowledgement may have been on its way when the
// connection ended: no server waits longer for a half-open one.
const underWay = int64(time.Minute)

// again says what a second arrival of a message is. With QoS 1 a server sends
// again, marked DUP, what was not acknowledged when a connection ended
// [MQTT-4.4.0-1]: the viewer may have had it by then, and cannot have prevented it.
func (h *History) again(r *record.Record, v *viewer, first int64) oddityKind {
	if r.Flags&record.FlagDup == 0 {
		return duplicate
	}
	after, _ := slices.BinarySearch(v.lost, first)
	if after == len(v.lost) || v.lost[after] > min(r.At, first+underWay) {
		return duplicate
	}
	return redelivered
}

// followOrder compares a first arrival with everything that came before it and
// reports whether it is in order.
func (h *History) followOrder(i int, r *record.Record, seq uint64, m *message, got *received) bool {
	ordered := true
	switch {
	case seq < got.highest:
		ordered = false
		top := h.at(r.Stream, got.highest)
		if m.rank != 0 && top.rank != 0 && m.rank >= got.rank {
			h.note(i, seq, excused)
		} else {
			h.note(i, seq, reordered)
		}
	case seq <= got.shown && r.Flags&record.FlagCatchUp == 0:
		ordered = false
		h.note(i, seq, stale)
	}
	got.highest = max(got.highest, seq)
	got.rank = max(got.rank, m.rank)
	return ordered
}

// restored enters a value of a snapshot: it must not be older than what the
// viewer had already.
func (h *History) restored(i int, r *record.Record, got *received) {
	seq := r.Seq
	if seq == 0 {
		seq = h.streams[r.Stream].latest(r.Digest, r.At)
		got.match.last = max(got.match.last, seq) // what follows live is newer
	}
	if h.at(r.Stream, seq) == nil {
		h.note(i, seq, phantom)
		return
	}
	if seq < got.highest {
		h.note(i, seq, stale)
	}
	got.shown = max(got.shown, seq)
}

// followOffset checks that the journal offsets of first arrivals rise. A viewer
// with several filters has several chains and is left to the chain itself.
func (h *History) followOffset(i int, r *record.Record, seq uint64, v *viewer) {
	if r.Offset == 0 || v.offsets == nil {
		return
	}
	if r.Offset <= v.offsets[r.Aux] {
		h.note(i, seq, backwards)
	}
	v.offsets[r.Aux] = max(v.offsets[r.Aux], r.Offset)
}

func (h *History) note(i int, seq uint64, kind oddityKind) {
	h.oddity = append(h.oddity, oddity{record: i, seq: seq, kind: kind})
}

package oracle

import (
	"fmt"
	"math"

	"plumbline/harness/record"
)

// History is an indexed recording. It is read-only and safe for concurrent use.
type History struct {
	log     *record.Log
	streams []stream
	viewers []viewer // by node; only those with role viewer have taken set
	windows []window
	faults  []faultWindow
	events  []record.Event // by At
	drain   int64          // nothing that arrived later counts as delivered
	oddity  []oddity       // what was wrong on arrival, in the order of the log
}

// stream holds the messages of one device; position seq is messages[seq-1].
type stream struct {
	messages []message
	foreign  map[uint64][]uint64 // digest to positions, for payloads not ours
	self     bool                // publishes by itself: the witness defines its messages
	watched  bool                // a witness subscribes to its topic
}

// message is what happened to one message before any viewer.
type message struct {
	due       int64
	sent      int64 // first write, 0 when it was never written
	end       int64 // that write returned
	acked     int64
	witnessed int64
	rank      uint32 // order at the witness, from 1; 0 when not seen
	copies    uint8  // how often the witness saw it, at most 255
	resent    bool   // written more than once: the broker may have it twice
	blocked   bool
	retained  bool // to be kept by the broker
	known     bool // the generator had it planned, or the witness saw it
}

func (m *message) wasSent() bool { return m.sent != 0 || m.rank != 0 }

// wasLost says that a message which did not arrive is known to be the system's
// loss and not the broker's or the recording's: the witness saw it. An
// acknowledgement alone will do where the broker is part of the system or
// nobody watched it. A partial recording proves nothing by what it lacks.
func (h *History) wasLost(stream int, m *message, brokerInside bool) bool {
	switch {
	case h.log.Partial:
		return false
	case m.witnessed != 0:
		return true
	default:
		return m.acked != 0 && (brokerInside || !h.streams[stream].watched)
	}
}

// repeated says that the message may have come twice from the broker itself:
// the witness saw it so, or it was sent again where the witness did not look.
func (m *message) repeated() bool { return m.copies > 1 || (m.resent && m.copies == 0) }

// sparse bounds how far positions may outrun the number of messages before the
// recording counts as damaged.
const sparse = 64

// Index prepares log for the oracles. It takes about 56 bytes of memory per
// message and 8 bytes per message and viewer. It fails when the recording
// names streams or nodes that it does not describe.
func Index(log *record.Log) (*History, error) {
	h := &History{
		log:     log,
		streams: make([]stream, len(log.Index.Streams)),
		viewers: make([]viewer, len(log.Index.Nodes)),
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	h.indexEvents()
	if err := h.size(); err != nil {
		return nil, err
	}
	h.indexPublished()
	h.indexWitnessed()
	h.indexViewers()
	return h, nil
}

// Log returns the recording behind h.
func (h *History) Log() *record.Log { return h.log }

// check refuses records that point outside the index.
func (h *History) check() error {
	for i := range h.log.Records {
		r := &h.log.Records[i]
		if int(r.Node) >= len(h.log.Index.Nodes) {
			return fmt.Errorf("oracle: record %d names node %d of %d", i, r.Node, len(h.log.Index.Nodes))
		}
		if r.Stream != record.NoStream && int(r.Stream) >= len(h.log.Index.Streams) {
			return fmt.Errorf("oracle: record %d names stream %d of %d", i, r.Stream, len(h.log.Index.Streams))
		}
	}
	return nil
}

// planned says that a record comes from the generator's schedule.
func planned(r *record.Record) bool {
	return r.Stream != record.NoStream && r.Seq > 0 && (r.Kind == record.Sent || r.Kind == record.Blocked)
}

// size makes room for the messages of each stream: as many as the generator
// planned, or as the witness saw when the device publishes by itself.
func (h *History) size() error {
	highest := make([]uint64, len(h.streams))
	count := make([]uint64, len(h.streams))
	seen := make([]uint64, len(h.streams))
	witness := h.witness()
	for i := range h.log.Records {
		r := &h.log.Records[i]
		switch {
		case planned(r):
			highest[r.Stream] = max(highest[r.Stream], r.Seq)
			count[r.Stream]++
		case r.Kind == record.Witnessed && r.Stream != record.NoStream && int(r.Node) == witness:
			seen[r.Stream]++
		}
	}
	for s := range h.streams {
		n := highest[s]
		if n > sparse*(count[s]+sparse) {
			return fmt.Errorf("oracle: stream %q has %d messages and position %d: the recording is damaged",
				h.log.Index.Streams[s].Device, count[s], n)
		}
		if n == 0 && h.log.Index.Streams[s].Foreign {
			n, h.streams[s].self = seen[s], true
		}
		h.streams[s].messages = make([]message, n)
		h.streams[s].watched = witness >= 0 && watches(h.log.Index.Nodes[witness], h.log.Index.Streams[s].Topic)
	}
	return nil
}

// indexPublished enters what the generator did.
func (h *History) indexPublished() {
	for i := range h.log.Records {
		r := &h.log.Records[i]
		m := h.at(r.Stream, r.Seq)
		if m == nil {
			continue
		}
		switch r.Kind {
		case record.Sent:
			m.due, m.known = r.Due, true
			if m.sent == 0 {
				m.sent, m.end, m.retained = r.At, r.End, r.Flags&record.FlagRetained != 0
			} else {
				m.resent = true
			}
			if r.Flags&record.FlagForeign != 0 {
				h.refer(r.Stream, r.Digest, r.Seq)
			}
		case record.Blocked:
			m.due, m.known, m.blocked = r.Due, true, true
		case record.Acked:
			if m.acked == 0 {
				m.acked = r.At
			}
		}
	}
}

// refer makes a position findable by the digest of its payload.
func (h *History) refer(id uint32, digest, seq uint64) {
	s := &h.streams[id]
	if s.foreign == nil {
		s.foreign = map[uint64][]uint64{}
	}
	list := s.foreign[digest]
	if len(list) == 0 || list[len(list)-1] < seq { // a resend is the same position
		s.foreign[digest] = append(list, seq)
	}
}

// witness returns the node of the first witness, -1 when there is none. Only
// one is followed: two would not see one order.
func (h *History) witness() int {
	for n, node := range h.log.Index.Nodes {
		if node.Role == "witness" {
			return n
		}
	}
	return -1
}

// watches reports whether a witness subscribes to a topic. One that names no
// filters sees everything.
func watches(witness record.Node, topic string) bool {
	return len(witness.Filters) == 0 || takes(witness.Filters, topic)
}

// indexWitnessed enters what the broker passed on, in the order of the wire.
func (h *History) indexWitnessed() {
	witness := h.witness()
	ranks := make([]uint32, len(h.streams))
	match := make([]foreignMatch, len(h.streams))
	for i := range h.log.Records {
		r := &h.log.Records[i]
		if r.Kind != record.Witnessed || int(r.Node) != witness || r.Stream == record.NoStream {
			continue
		}
		seq := r.Seq
		switch {
		case h.streams[r.Stream].self:
			seq = uint64(ranks[r.Stream]) + 1
			h.refer(r.Stream, r.Digest, seq)
		case seq == 0:
			seq, _ = match[r.Stream].find(&h.streams[r.Stream], r.Digest, func(seq uint64) bool {
				return h.streams[r.Stream].messages[seq-1].rank != 0
			}, func(uint64) bool { return false })
		}
		m := h.at(r.Stream, seq)
		if m == nil {
			continue
		}
		if m.copies < math.MaxUint8 {
			m.copies++
		}
		if m.rank != 0 {
			continue
		}
		ranks[r.Stream]++
		m.rank, m.witnessed = ranks[r.Stream], r.At
		if h.streams[r.Stream].self {
			m.due, m.sent, m.known = r.At, r.At, true
		}
	}
}

// at returns the message, nil when nobody planned or saw it.
func (h *History) at(id uint32, seq uint64) *message {
	if id == record.NoStream || seq == 0 || seq > uint64(len(h.streams[id].messages)) {
		return nil
	}
	return &h.streams[id].messages[seq-1]
}

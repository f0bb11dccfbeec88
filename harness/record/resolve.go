package record

import "sync"

// Resolver tells to which stream an arriving message belongs. One Resolver
// serves the witness and all viewers of a recording. It is safe for concurrent
// use; streams may be added while messages arrive.
type Resolver struct {
	run string

	mu      sync.RWMutex
	byTopic map[string]resolved
	byDev   map[string]resolved
	// byPayload holds streams by the digest of the meaning of their payloads.
	byPayload map[uint64]uint32
}

type resolved struct {
	stream  uint32
	topic   string
	foreign bool
}

// NewResolver returns a Resolver for the run id that the publishers use.
func NewResolver(run string) *Resolver {
	return &Resolver{run: run, byTopic: map[string]resolved{}, byDev: map[string]resolved{}, byPayload: map[uint64]uint32{}}
}

// Add makes a stream known under its topic and, unless it publishes payloads
// of its own making, its device id.
func (v *Resolver) Add(id uint32, s Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := resolved{stream: id, topic: s.Topic, foreign: s.Foreign}
	v.byTopic[s.Topic] = r
	if !s.Foreign {
		v.byDev[s.Device] = r
	}
}

// AddPayload makes a payload of a foreign stream known, by what it says (see
// Canonical), for systems that do not tell the topic of a message.
func (v *Resolver) AddPayload(id uint32, payload []byte) {
	digest := Digest(Canonical(payload))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byPayload[digest] = id
}

// Resolve returns the stream, the position in it (0 when the payload does not
// say) and the flags of a message that arrived under topic:
//
//   - an own payload of this run under its own topic: its stream and position;
//   - the same under another topic: FlagMisrouted is set, unless topic is "",
//     which means that the system does not tell the topic;
//   - an own payload of another run or of an unknown device: NoStream;
//   - anything else on the topic of a foreign stream, or without a topic and
//     known by AddPayload: FlagForeign, position 0;
//   - anything else on the topic of an own stream: FlagCorrupt, position 0.
func (v *Resolver) Resolve(topic string, payload []byte) (stream uint32, seq uint64, flags uint8) {
	p, err := Parse(payload)
	v.mu.RLock()
	defer v.mu.RUnlock()
	here, known := v.byTopic[topic]
	if known && here.foreign {
		return here.stream, 0, FlagForeign
	}
	if err == nil {
		own, ok := v.byDev[p.Dev]
		switch {
		case !ok || p.Run != v.run:
			return NoStream, p.Seq, 0
		case own.topic != topic && topic != "":
			return own.stream, p.Seq, FlagMisrouted
		default:
			return own.stream, p.Seq, 0
		}
	}
	if known {
		return here.stream, 0, FlagCorrupt
	}
	if topic == "" && len(v.byPayload) > 0 {
		if stream, ok := v.byPayload[Digest(Canonical(payload))]; ok {
			return stream, 0, FlagForeign
		}
	}
	return NoStream, 0, FlagForeign
}

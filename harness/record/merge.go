package record

import (
	"cmp"
	"fmt"
	"time"
)

// Mapping turns instants of another clock into those of a recording.
type Mapping interface {
	Local(remote int64) int64
	Uncertainty(remote int64) time.Duration
}

// Merge adds to log what viewers elsewhere recorded by a clock of that name, "" for
// that of log itself, in the time of log. They know no devices: their streams are what
// readings say of themselves, and Merge resolves them as a Resolver of log's
// streams would have done. Nothing is added when part cannot belong to log.
//
// A part that is partial, or that lost readings for want of memory, makes log
// partial.
func Merge(log, part *Log, clock string, m Mapping) error {
	j := joint{log: log, part: part, nodes: len(log.Index.Nodes), epochs: map[string]uint32{}}
	if err := j.check(); err != nil {
		return fmt.Errorf("record: merge the recording of %s: %w", cmp.Or(clock, "another process"), err)
	}
	log.Partial = log.Partial || part.Partial
	for _, n := range part.Index.Nodes {
		n.Clock = clock
		log.Index.Nodes = append(log.Index.Nodes, n)
	}
	streams := j.resolveStreams()
	epochs := j.joinEpochs()
	for _, r := range part.Records {
		node := &log.Index.Nodes[j.nodes+int(r.Node)]
		node.Uncertainty = max(node.Uncertainty, m.Uncertainty(r.At))
		r.Node += uint16(j.nodes)
		r.At = m.Local(r.At)
		if int(r.Aux) < len(epochs) {
			r.Aux = epochs[r.Aux]
		}
		if r.Stream != NoStream {
			streams[r.Stream].apply(&r)
		}
		log.Records = append(log.Records, r)
	}
	for _, e := range part.Events {
		e.At = m.Local(e.At)
		log.Events = append(log.Events, e)
	}
	return nil
}

// joint is one merge at work.
type joint struct {
	log, part *Log
	nodes     int // of log, before
	epochs    map[string]uint32
}

// check refuses what would not fit, before anything is changed.
func (j *joint) check() error {
	const most = 1 << 16
	if n := j.nodes + len(j.part.Index.Nodes); n > most {
		return fmt.Errorf("%d nodes; at most %d can be told apart", n, most)
	}
	names := make(map[string]bool, j.nodes)
	for _, have := range j.log.Index.Nodes {
		names[have.Name] = true
	}
	for _, n := range j.part.Index.Nodes {
		if n.Role != "viewer" {
			return fmt.Errorf("node %q is a %s; only viewers are elsewhere", n.Name, n.Role)
		}
		if names[n.Name] {
			return fmt.Errorf("there are two nodes %q", n.Name)
		}
	}
	for i, r := range j.part.Records {
		switch {
		case int(r.Node) >= len(j.part.Index.Nodes):
			return fmt.Errorf("record %d names node %d of %d", i, r.Node, len(j.part.Index.Nodes))
		case r.Stream != NoStream && int(r.Stream) >= len(j.part.Index.Streams):
			return fmt.Errorf("record %d names stream %d of %d", i, r.Stream, len(j.part.Index.Streams))
		case r.Kind != Received && r.Kind != Restored:
			return fmt.Errorf("record %d is of kind %d; viewers only receive", i, r.Kind)
		}
	}
	return nil
}

// origin is what a stream of the part is in truth.
type origin struct {
	stream  uint32
	flags   uint8 // in place of FlagForeign
	unknown bool  // where a reading stands is not known: its position counts for nothing
}

func (o origin) apply(r *Record) {
	r.Stream, r.Flags = o.stream, r.Flags&^FlagForeign|o.flags
	if o.unknown {
		r.Seq = 0
	}
}

// resolveStreams says of each stream of the part what it is, by the rules of
// Resolver.Resolve.
func (j *joint) resolveStreams() []origin {
	byTopic, byDevice := map[string]uint32{}, map[string]uint32{}
	for id, s := range j.log.Index.Streams {
		byTopic[s.Topic] = uint32(id)
		if !s.Foreign {
			byDevice[s.Device] = uint32(id)
		}
	}
	all := make([]origin, 0, len(j.part.Index.Streams))
	for _, s := range j.part.Index.Streams {
		here, known := byTopic[s.Topic]
		own, ours := byDevice[s.Device]
		switch {
		case known && j.log.Index.Streams[here].Foreign:
			all = append(all, origin{stream: here, flags: FlagForeign, unknown: true})
		case s.Device == "" && known:
			all = append(all, origin{stream: here, flags: FlagCorrupt, unknown: true})
		case s.Device == "":
			all = append(all, origin{stream: NoStream, flags: FlagForeign, unknown: true})
		case !ours:
			all = append(all, origin{stream: NoStream})
		case s.Topic != "" && j.log.Index.Streams[own].Topic != s.Topic:
			all = append(all, origin{stream: own, flags: FlagMisrouted})
		default:
			all = append(all, origin{stream: own})
		}
	}
	return all
}

// joinEpochs returns the numbers in log of the part's epochs.
func (j *joint) joinEpochs() []uint32 {
	for n, id := range j.log.Index.Epochs {
		j.epochs[id] = uint32(n)
	}
	all := make([]uint32, 0, len(j.part.Index.Epochs))
	for _, id := range j.part.Index.Epochs {
		n, known := j.epochs[id]
		if !known {
			n = uint32(len(j.log.Index.Epochs))
			j.log.Index.Epochs = append(j.log.Index.Epochs, id)
			j.epochs[id] = n
		}
		all = append(all, n)
	}
	return all
}

package oracle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// ms is a millisecond on the run clock.
const ms = int64(time.Millisecond)

// story builds a recording by hand: device d on topic t/d, published every
// 10 ms, one witness, viewers as added.
type story struct {
	log     record.Log
	viewers map[string]uint16
	offset  uint64
}

const (
	nodePublisher uint16 = iota
	nodeWitness
)

func newStory(devices ...string) *story {
	s := &story{viewers: map[string]uint16{}}
	s.log.Index.Nodes = []record.Node{{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness"}}
	s.log.Index.Epochs = []string{"e0"}
	for _, d := range devices {
		s.log.Index.Streams = append(s.log.Index.Streams, record.Stream{
			Device: d, Topic: "t/" + d, Mode: "sim", QoS: 1, Period: 10 * time.Millisecond,
		})
	}
	return s
}

func (s *story) viewer(name string, filters ...string) *story {
	s.viewers[name] = uint16(len(s.log.Index.Nodes))
	s.log.Index.Nodes = append(s.log.Index.Nodes, record.Node{Name: name, Role: "viewer", Filters: filters})
	return s
}

// due is when message seq is intended.
func due(seq uint64) int64 { return int64(seq) * 10 * ms }

func (s *story) add(r record.Record) *story {
	s.log.Records = append(s.log.Records, r)
	return s
}

// send publishes, acknowledges and witnesses messages of stream 0.
func (s *story) send(seqs ...uint64) *story { return s.sendOn(0, seqs...) }

func (s *story) sendOn(stream uint32, seqs ...uint64) *story {
	for _, seq := range seqs {
		s.write(stream, seq).ack(stream, seq).witness(stream, seq)
	}
	return s
}

func (s *story) write(stream uint32, seq uint64) *story {
	return s.add(record.Record{Kind: record.Sent, Node: nodePublisher, Stream: stream, Seq: seq, Due: due(seq), At: due(seq) + 1000, End: due(seq) + 2000, Aux: 1, Digest: seq})
}

func (s *story) ack(stream uint32, seq uint64) *story {
	return s.add(record.Record{Kind: record.Acked, Node: nodePublisher, Stream: stream, Seq: seq, At: due(seq) + ms/2})
}

func (s *story) witness(stream uint32, seq uint64) *story {
	return s.add(record.Record{Kind: record.Witnessed, Node: nodeWitness, Stream: stream, Seq: seq, At: due(seq) + ms/2, Digest: seq})
}

// get lets a viewer receive messages of stream 0, each 1 ms after it was due.
func (s *story) get(viewer string, seqs ...uint64) *story { return s.getOn(viewer, 0, seqs...) }

func (s *story) getOn(viewer string, stream uint32, seqs ...uint64) *story {
	for _, seq := range seqs {
		s.offset++
		s.add(record.Record{Kind: record.Received, Node: s.viewers[viewer], Stream: stream, Seq: seq, At: due(seq) + ms, Offset: s.offset})
	}
	return s
}

func (s *story) event(at int64, kind record.EventKind, subject string, fields ...string) *story {
	e := record.Event{At: at, Kind: kind, Subject: subject}
	for i := 0; i+1 < len(fields); i += 2 {
		if e.Fields == nil {
			e.Fields = map[string]string{}
		}
		e.Fields[fields[i]] = fields[i+1]
	}
	s.log.Events = append(s.log.Events, e)
	return s
}

func (s *story) index(t *testing.T) *History {
	t.Helper()
	h, err := Index(&s.log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// numbers returns from…to.
func numbers(from, to uint64) (list []uint64) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

// tell lists findings as kind, confirmed and position: "lost 3, duplicate? 4".
func tell(found []reports.Finding) string {
	var parts []string
	for _, f := range found {
		doubt := "?"
		if f.Confirmed {
			doubt = ""
		}
		parts = append(parts, fmt.Sprintf("%s%s %d", f.Kind, doubt, f.Seq))
	}
	return strings.Join(parts, ", ")
}

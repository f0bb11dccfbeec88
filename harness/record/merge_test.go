package record_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
)

// ahead is a clock that is a second ahead, known to the millisecond.
type ahead struct{}

func (ahead) Local(remote int64) int64 { return remote - int64(time.Second) }

func (ahead) Uncertainty(remote int64) time.Duration {
	return time.Millisecond + time.Duration(remote%10)
}

// own is a recording of the harness.
func own() *record.Log {
	return &record.Log{
		Index: record.Index{
			Streams: []record.Stream{{Device: "a", Topic: "bench/a"}, {Device: "b", Topic: "bench/b"}, {Device: "meter", Topic: "meter/x", Foreign: true}},
			Nodes:   []record.Node{{Name: "witness", Role: "witness"}}, Epochs: []string{"e1"},
		},
		Records: []record.Record{{Kind: record.Witnessed, Stream: 0, Seq: 1, At: 5}},
	}
}

// afar is what a viewer elsewhere recorded: streams as readings name them.
func afar() *record.Log {
	log := &record.Log{Index: record.Index{
		Nodes: []record.Node{{Name: "viewer-01", Role: "viewer", Filters: []string{"bench/#"}}}, Epochs: []string{"e2", "e1"},
		Streams: []record.Stream{
			{Device: "b", Topic: "bench/b"}, {Device: "b", Topic: "bench/a"}, {Device: "b", Topic: ""}, {Device: "stranger", Topic: "bench/s"},
			{Topic: "bench/a", Foreign: true}, {Topic: "meter/x", Foreign: true}, {Topic: "nobody", Foreign: true}, {Device: "a", Topic: "meter/x"},
		},
	}}
	for id, s := range log.Index.Streams {
		r := record.Record{Kind: record.Received, Stream: uint32(id), Seq: 7, At: int64(time.Second) + int64(id), Aux: uint32(id % 2)}
		if s.Foreign {
			r.Seq, r.Flags = 0, record.FlagForeign
		}
		log.Records = append(log.Records, r)
	}
	log.Records = append(log.Records, record.Record{Kind: record.Restored, Stream: record.NoStream, Seq: 9, At: int64(2 * time.Second), Flags: record.FlagRetained})
	log.Events = []record.Event{{At: int64(time.Second), Kind: record.Connected, Subject: "viewer-01"}}
	return log
}

// What was recorded elsewhere is what a viewer here would have recorded, in the
// time of the bench.
func TestMergeResolvesAsAResolverDoes(t *testing.T) {
	log := own()
	if err := record.Merge(log, afar(), "host:1", ahead{}); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		stream uint32
		seq    uint64
		flags  uint8
	}
	var got []seen
	for i, r := range log.Records[1:] {
		if r.Node != 1 {
			t.Errorf("record %d is of node %d", i, r.Node)
		}
		got = append(got, seen{r.Stream, r.Seq, r.Flags})
	}
	want := []seen{
		{1, 7, 0}, {1, 7, record.FlagMisrouted}, {1, 7, 0}, {record.NoStream, 7, 0},
		{0, 0, record.FlagCorrupt}, {2, 0, record.FlagForeign}, {record.NoStream, 0, record.FlagForeign}, {2, 0, record.FlagForeign},
		{record.NoStream, 9, record.FlagRetained},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if log.Records[3].At != 2 || log.Events[0].At != 0 {
		t.Errorf("instants are %d and %d", log.Records[3].At, log.Events[0].At)
	}
	if log.Records[1].Aux != 1 || log.Records[2].Aux != 0 || !reflect.DeepEqual(log.Index.Epochs, []string{"e1", "e2"}) {
		t.Errorf("epochs %v, numbers %d and %d", log.Index.Epochs, log.Records[1].Aux, log.Records[2].Aux)
	}
	if n := log.Index.Nodes[1]; n.Name != "viewer-01" || n.Clock != "host:1" || n.Uncertainty != time.Millisecond+7 {
		t.Errorf("node %+v", n)
	}
	if log.Partial {
		t.Error("it is partial")
	}
}

func TestMergeOfAPartialPartIsPartial(t *testing.T) {
	log, part := own(), afar()
	part.Partial = true
	if err := record.Merge(log, part, "host:1", ahead{}); err != nil || !log.Partial {
		t.Errorf("partial %v, %v", log.Partial, err)
	}
}

// A part that cannot belong to the recording changes nothing of it.
func TestMergeRefuses(t *testing.T) {
	for want, spoil := range map[string]func(part *record.Log){
		"two nodes":   func(p *record.Log) { p.Index.Nodes[0].Name = "witness" },
		"is a":        func(p *record.Log) { p.Index.Nodes[0].Role = "publisher" },
		"names node":  func(p *record.Log) { p.Records[0].Node = 1 },
		"stream 8":    func(p *record.Log) { p.Records[0].Stream = 8 },
		"of kind":     func(p *record.Log) { p.Records[0].Kind = record.Acked },
		"65537 nodes": func(p *record.Log) { p.Index.Nodes = make([]record.Node, 1<<16) },
	} {
		log, part := own(), afar()
		spoil(part)
		err := record.Merge(log, part, "host:1", ahead{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "host:1") {
			t.Errorf("%s: error is %v", want, err)
		}
		if !reflect.DeepEqual(log, own()) {
			t.Errorf("%s: the recording was changed", want)
		}
	}
}

// A skewed clock shows what it was told to; an honest one starts at 0.
func TestSkewedClock(t *testing.T) {
	skewed := record.Skewed(time.Hour, 0.5) // the first, so that no pause between the two is its lack
	honest := record.NewClock()
	for honest.Now() < int64(time.Millisecond) {
	}
	before := honest.Now()
	shown := skewed.Now() - int64(time.Hour)
	if shown < before*5/4 {
		t.Errorf("after %v it shows %v more than its offset; at a drift of one half that is too little", time.Duration(before), time.Duration(shown))
	}
}

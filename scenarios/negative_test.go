package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// The recordings below are of a bridge that does all it should: two devices,
// two viewers, one message every two milliseconds for 40 s, a second later the end.
// Viewer 2 loses its connection for a second in the middle and resumes.
const (
	streams  = 2
	messages = 10_000
	every    = 2 * int64(time.Millisecond)
	cutAt    = 20 * int64(time.Second)
	backAt   = 21 * int64(time.Second)
)

func goodLog() *record.Log {
	log := &record.Log{Index: record.Index{Epochs: []string{"e1"}, Nodes: []record.Node{
		{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness", Filters: []string{"bench/#"}},
		{Name: "viewer-01", Role: "viewer", Filters: []string{"bench/#"}}, {Name: "viewer-02", Role: "viewer", Filters: []string{"bench/#"}},
	}}}
	for s := range streams {
		id := fmt.Sprintf("d%d", s+1)
		log.Index.Streams = append(log.Index.Streams, record.Stream{Device: id, Topic: harness.Topic(id), Mode: "sim", QoS: 1})
	}
	var late []record.Record
	for i := range streams * messages {
		due := int64(i+1) * every
		one := record.Record{Stream: uint32(i % streams), Seq: uint64(i/streams) + 1, Digest: uint64(i) + 1, Bytes: 100}
		at := func(kind record.Kind, node uint16, after time.Duration) record.Record {
			r := one
			r.Kind, r.Node, r.At = kind, node, due+int64(after)
			return r
		}
		sent := at(record.Sent, 0, 0)
		sent.Due, sent.End, sent.Aux = due, due+1000, 1
		log.Records = append(log.Records, sent, at(record.Acked, 0, 500*time.Microsecond), at(record.Witnessed, 1, 600*time.Microsecond))
		for node := uint16(2); node < 4; node++ {
			r := at(record.Received, node, time.Millisecond)
			r.Offset = uint64(i) + 1
			if node == 3 && r.At >= cutAt && r.At < backAt {
				r.Flags = record.FlagCatchUp
				r.At = backAt + int64(len(late))
				late = append(late, r)
				continue
			}
			if node == 3 && len(late) > 0 && r.At >= backAt {
				log.Records = append(log.Records, late...)
				late = late[:0]
			}
			log.Records = append(log.Records, r)
		}
	}
	end := int64(streams*messages) * every
	add := func(at int64, kind record.EventKind, subject string) {
		log.Events = append(log.Events, record.Event{At: at, Kind: kind, Subject: subject, Fields: map[string]string{"recovered": "true", "epoch": "e1"}})
	}
	for _, v := range []string{"viewer-01", "viewer-02"} {
		add(0, record.Connected, v)
		add(0, record.Subscribed, v)
	}
	add(0, record.WindowOpen, "w")
	add(cutAt, record.FaultOnset, "cut")
	add(cutAt, record.Disconnected, "viewer-02")
	add(backAt, record.FaultEnd, "cut")
	add(backAt, record.Connected, "viewer-02")
	add(backAt, record.Subscribed, "viewer-02")
	add(end+1, record.WindowClose, "w")
	add(end+int64(time.Second), record.DrainEnd, "w")
	return log
}

// goodRig is a rig whose validity gates all hold.
var goodRig = reports.RigHealth{
	Offered: 1, Achieved: 1, ClockSource: "tsc", ClockRead: 30, Uncertainty: 0.3, SlipP99: 0.01, FloorP50: 0.1, FloorP99: 0.3, FloorP999: 1,
}

// judgement runs one judging step of the scenarios over a recording.
func judgement(t *testing.T, log *record.Log, judge func(*judged)) reports.Result {
	t.Helper()
	h, err := oracle.Index(log)
	if err != nil {
		t.Fatal(err)
	}
	j := judgedOf(t, h)
	judge(j)
	return only(t, j.Case)
}

// judgedOf is a recording to be judged by the profile ci; nil for none.
func judgedOf(t *testing.T, h *oracle.History) *judged {
	t.Helper()
	return &judged{Case: caseOf(t, nil), history: h, base: oracle.Options{BrokerInside: true}, health: goodRig}
}

// caseOf is a case of the profile ci with facts to be judged.
func caseOf(t *testing.T, facts any) *spec.Case {
	t.Helper()
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	c, err := spec.CaseOf(p, spec.Scenario{ID: "negative"}, facts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// judges are the judging steps by requirement, as the scenarios use them.
var judges = map[string]func(*judged){
	"LAT-01": func(j *judged) { j.latency("LAT-01", j.history.Latencies(j.options("")), j.rule(50)) },
	"LAT-02": func(j *judged) { j.latency("LAT-02", j.history.Latencies(j.options("")), j.rule(299)) },
	"LAT-03": func(j *judged) { j.latency("LAT-03", j.history.Latencies(j.options("")), j.rule(2995)) },
	"DEL-01": func(j *judged) { j.lost("DEL-01", j.samples("DEL-01")) },
	"DEL-02": func(j *judged) { j.lost("DEL-02", j.samples("DEL-02")) },
	"DEL-04": func(j *judged) { j.lost("DEL-04", j.samples("DEL-04")) },
	"DEL-05": func(j *judged) { j.duplicated("DEL-05", j.samples("DEL-05")) },
	"DEL-06": func(j *judged) { j.genuine("DEL-06", j.samples("DEL-06")) },
	"DEL-07": func(j *judged) { j.honest("DEL-07", j.samples("DEL-07")) },
	"ORD-01": func(j *judged) { j.ordered("ORD-01", j.samples("ORD-01")) },
	"ORD-02": func(j *judged) { j.seam("ORD-02", 1) },
	"REC-01": func(j *judged) { j.resumed("REC-01", 1) },
	"REC-02": func(j *judged) {
		times, found := freshAfterFaults(j.history.Log(), "REC-02")
		j.within("REC-02", "outage", times, found, 1)
	},
}

func TestGoodRecordingPasses(t *testing.T) {
	log := goodLog()
	for id, judge := range judges {
		if id == "LAT-02" || id == "LAT-03" {
			continue // one viewer's outage of a second in 40 is more than one in a hundred
		}
		if r := judgement(t, log, judge); r.Verdict != reports.Pass {
			t.Errorf("%s: %s(%s) %s", id, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// where returns the index of the nth live arrival at a viewer after an instant.
func where(log *record.Log, node uint16, after int64, n int) int {
	for i, r := range log.Records {
		if r.Kind == record.Received && r.Node == node && r.At > after {
			if n--; n < 0 {
				return i
			}
		}
	}
	panic("no such record")
}

func delay(log *record.Log, node uint16, share int, by time.Duration) {
	n := 0
	for i := range log.Records {
		if r := &log.Records[i]; r.Kind == record.Received && r.Node == node {
			if n++; n%1000 < share {
				r.At += int64(by)
			}
		}
	}
}

func remove(log *record.Log, i int) { log.Records = slices.Delete(log.Records, i, i+1) }

func swap(log *record.Log, i int) {
	// The next arrival of the same stream at the same viewer changes places.
	for k := i + 1; k < len(log.Records); k++ {
		if log.Records[k].Kind == record.Received && log.Records[k].Node == log.Records[i].Node && log.Records[k].Stream == log.Records[i].Stream {
			log.Records[i].Seq, log.Records[k].Seq = log.Records[k].Seq, log.Records[i].Seq
			log.Records[i].Digest, log.Records[k].Digest = log.Records[k].Digest, log.Records[i].Digest
			return
		}
	}
}

// Each tamper is what a defect of a bridge would leave in the recording, and
// must be failed by the requirement that is there for it.
func TestDefectsAreFailedByTheirRequirement(t *testing.T) {
	middle := 10 * int64(time.Second)
	for _, c := range []struct {
		defect, requirement, kind string
		tamper                    func(*record.Log)
	}{
		{"F01 drops one message", "DEL-01", "lost", func(l *record.Log) { remove(l, where(l, 2, middle, 5)) }},
		{"F03 drops in the reconnect window", "DEL-02", "lost", func(l *record.Log) { remove(l, where(l, 3, backAt, 3)) }},
		{"F07 drops what it had acknowledged", "DEL-04", "lost", func(l *record.Log) { remove(l, where(l, 3, backAt, 0)) }},
		{"F09 delivers one message twice", "DEL-05", "duplicate", func(l *record.Log) {
			again := l.Records[where(l, 2, middle, 5)]
			again.At += int64(time.Millisecond)
			l.Records = append(l.Records, again)
		}},
		{"F10 delivers from an earlier run", "DEL-06", "phantom", func(l *record.Log) { l.Records[where(l, 2, middle, 5)].Stream = record.NoStream }},
		{"F34 damages one payload", "DEL-06", "corrupt", func(l *record.Log) { l.Records[where(l, 2, middle, 5)].Flags |= record.FlagCorrupt }},
		{"F38 mixes two topics up", "DEL-06", "misrouted", func(l *record.Log) { l.Records[where(l, 2, middle, 5)].Flags |= record.FlagMisrouted }},
		{"F04 leaves out in silence", "DEL-07", "lost", func(l *record.Log) { remove(l, where(l, 2, middle, 5)) }},
		{"breaks its own chain", "DEL-07", "chain-broken", func(l *record.Log) {
			l.Events = append(l.Events, record.Event{At: middle, Kind: record.ChainBroken, Subject: "viewer-01", Fields: map[string]string{"from": "9"}})
		}},
		{"F11 swaps two messages of a topic", "ORD-01", "reordered", func(l *record.Log) { swap(l, where(l, 2, middle, 5)) }},
		{"F12 swaps across the seam", "ORD-02", "reordered", func(l *record.Log) { swap(l, where(l, 3, backAt, 100)) }},
		{"F20 flushes ten times as late", "LAT-01", "late", func(l *record.Log) { delay(l, 2, 1000, 160*time.Millisecond); delay(l, 3, 1000, 160*time.Millisecond) }},
		{"F24 delays 5 in a hundred", "LAT-02", "late", func(l *record.Log) { delay(l, 2, 50, 600*time.Millisecond); delay(l, 3, 50, 600*time.Millisecond) }},
		{"F23 delays 2 in a hundred by seconds", "LAT-03", "late", func(l *record.Log) { delay(l, 2, 20, 3*time.Second); delay(l, 3, 20, 3*time.Second) }},
		{"never delivers after an outage", "REC-01", "never-back", func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return r.Kind == record.Received && r.Node == 3 && r.At >= backAt })
		}},
		{"F61 forgets its subscriptions", "REC-02", "never-back", func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return r.Kind == record.Received && r.Node == 2 && r.At >= backAt })
		}},
	} {
		t.Run(c.defect, func(t *testing.T) {
			log := goodLog()
			c.tamper(log)
			r := judgement(t, log, judges[c.requirement])
			if r.Verdict != reports.Fail || r.Requirement != c.requirement {
				t.Fatalf("%s: %s(%s) %s", c.requirement, r.Verdict, r.Reason, r.Sentence)
			}
			if !slices.ContainsFunc(r.Findings, func(f reports.Finding) bool { return f.Kind == c.kind }) {
				t.Errorf("no finding of kind %q among %d: %+v", c.kind, len(r.Findings), r.Findings)
			}
		})
	}
}

// What only looks wrong must not fail: a witness that saw the same order first.
func TestExcusedOrderIsNotBlamedOnTheBridge(t *testing.T) {
	log := goodLog()
	swap(log, where(log, 2, int64(time.Second), 4))
	swapped := log.Records[where(log, 2, int64(time.Second), 4)].Seq
	for i := range log.Records {
		if r := &log.Records[i]; r.Kind == record.Witnessed && r.Seq == swapped {
			swapWitness(log, i)
			break
		}
	}
	r := judgement(t, log, judges["ORD-01"])
	if r.Verdict == reports.Fail && strings.Contains(r.Sentence, "confirmed") && len(r.Findings) == 0 {
		t.Errorf("%s: %s", r.Verdict, r.Sentence)
	}
}

func swapWitness(log *record.Log, i int) {
	for k := i - 1; k >= 0; k-- {
		a, b := &log.Records[i], &log.Records[k]
		if b.Kind == record.Witnessed && b.Stream == a.Stream {
			a.Seq, b.Seq, a.Digest, b.Digest = b.Seq, a.Seq, b.Digest, a.Digest
			return
		}
	}
}

func TestProbesAreJudged(t *testing.T) {
	for _, c := range []struct {
		name   string
		result viewer.ProbeResult
		served bool
		ended  bool
	}{
		{"welcome", viewer.ProbeResult{HTTPStatus: 101, Frames: [][]byte{[]byte(`{"type":"welcome"}`)}}, true, false},
		{"data", viewer.ProbeResult{HTTPStatus: 101, Frames: [][]byte{[]byte(`{"type":"batch","readings":[]}`)}, CloseCode: 4002}, true, true},
		{"closed", viewer.ProbeResult{HTTPStatus: 101, CloseCode: 4002}, false, true},
		{"forbidden", viewer.ProbeResult{HTTPStatus: 403}, false, true},
		{"left open", viewer.ProbeResult{HTTPStatus: 101}, false, false},
		{"dropped", viewer.ProbeResult{HTTPStatus: 101, EOF: true}, false, true},
	} {
		if got := served(c.result) != ""; got != c.served {
			t.Errorf("%s: served is %v", c.name, got)
		}
		if got := ended(c.result); got != c.ended {
			t.Errorf("%s: ended is %v", c.name, got)
		}
	}
	topics := topicsOf([][]byte{[]byte(`{"type":"batch","readings":[{"topic":"a"},{"topic":"b"}]}`), []byte(`no JSON`)})
	if !slices.Equal(topics, []string{"a", "b"}) {
		t.Errorf("topics are %v", topics)
	}
}

package scenarios

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// seeded is a defect of a bridge as it shows in a recording, and the verdict
// that it must get. kind is the finding that must be there, "" for none.
type seeded struct {
	defect  string
	tamper  func(*record.Log)
	judge   func(*judged)
	verdict reports.Verdict
	kind    string
}

// verdictsOf runs every case on a recording of its own.
func verdictsOf(t *testing.T, profile string, good func() *record.Log, cases []seeded) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.defect, func(t *testing.T) {
			log := good()
			if c.tamper != nil {
				c.tamper(log)
			}
			h, err := oracle.Index(log)
			if err != nil {
				t.Fatal(err)
			}
			j := judgedIn(t, h, profile)
			c.judge(j)
			r := only(t, j.Case)
			if r.Verdict != c.verdict {
				t.Fatalf("%s: %s(%s) %s", r.Requirement, r.Verdict, r.Reason, r.Sentence)
			}
			if c.kind != "" && !slices.ContainsFunc(r.Findings, func(f reports.Finding) bool { return f.Kind == c.kind }) {
				t.Errorf("no finding of kind %q among %d: %+v", c.kind, len(r.Findings), r.Findings)
			}
		})
	}
}

// judgedIn is a recording to be judged by a profile.
func judgedIn(t *testing.T, h *oracle.History, profile string) *judged {
	t.Helper()
	p, err := spec.Catalogue().Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	c, err := spec.CaseOf(p, spec.Scenario{ID: "negative"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &judged{Case: c, history: h, base: oracle.Options{BrokerInside: true}, health: goodRig}
}

// in is a record of one message, seen so long after it was intended.
func in(kind record.Kind, node uint16, of record.Record, after time.Duration) record.Record {
	r := record.Record{Kind: kind, Node: node, Stream: of.Stream, Seq: of.Seq, Digest: of.Digest, At: of.Due + int64(after), Flags: of.Flags & record.FlagForeign}
	if r.Flags != 0 && kind != record.Sent && kind != record.Acked {
		r.Seq = 0 // who only reads a foreign payload does not know its position
	}
	return r
}

// nodes of the recordings below.
const (
	publisherNode uint16 = iota
	witnessNode
	viewerNode
	quietNode  // came while nothing was sent
	racingNode // came while devices published
)

// emptyLog has a publisher, a witness, one viewer from the beginning, and a
// judged window of ten seconds.
func emptyLog() *record.Log {
	log := &record.Log{Index: record.Index{Epochs: []string{"e1"}, Nodes: []record.Node{
		{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness", Filters: []string{"bench/#"}},
		{Name: "viewer-01", Role: "viewer", Filters: []string{"bench/#"}},
	}}}
	happen(log, 0, record.Connected, "viewer-01")
	happen(log, 0, record.Subscribed, "viewer-01")
	happen(log, 0, record.WindowOpen, "w")
	happen(log, 10*int64(time.Second), record.WindowClose, "w")
	happen(log, 11*int64(time.Second), record.DrainEnd, "w")
	return log
}

func happen(log *record.Log, at int64, kind record.EventKind, subject string) {
	log.Events = append(log.Events, record.Event{At: at, Kind: kind, Subject: subject})
}

// publish lets a message be sent, acknowledged, witnessed and seen by the viewer.
func publish(log *record.Log, m record.Record) {
	sent := m
	sent.Kind, sent.Node, sent.At, sent.End, sent.Aux = record.Sent, publisherNode, m.Due, m.Due+1000, 1
	log.Records = append(log.Records, sent, in(record.Acked, publisherNode, m, 500*time.Microsecond),
		in(record.Witnessed, witnessNode, m, 600*time.Microsecond), in(record.Received, viewerNode, m, time.Millisecond))
}

const (
	lateDevices = 50
	cameAt      = int64(time.Second)     // the quiet viewer
	racedAt     = 2 * int64(time.Second) // the racing one
)

// lateLog is of a bridge that gives late viewers what it should: fifty devices
// publish five retained values, a viewer comes, they publish five more, and in
// the middle of that another viewer comes.
func lateLog() *record.Log {
	log := emptyLog()
	for _, name := range []string{"late-1", "racing-001"} {
		log.Index.Nodes = append(log.Index.Nodes, record.Node{Name: name, Role: "viewer", Filters: []string{"bench/#"}})
	}
	happen(log, cameAt, record.Connected, "late-1")
	happen(log, cameAt+1000, record.Subscribed, "late-1")
	happen(log, racedAt, record.Connected, "racing-001")
	happen(log, racedAt+1000, record.Subscribed, "racing-001")
	for d := range uint32(lateDevices) {
		id := fmt.Sprintf("d%02d", d+1)
		log.Index.Streams = append(log.Index.Streams, record.Stream{Device: id, Topic: harness.Topic(id), Mode: "sim", QoS: 1})
		var newest record.Record
		for seq := uint64(1); seq <= 10; seq++ {
			m := record.Record{Stream: d, Seq: seq, Digest: uint64(d)<<8 + seq, Flags: record.FlagRetained, Due: int64(seq) * int64(10*time.Millisecond)}
			if seq > 5 {
				m.Due += racedAt - int64(80*time.Millisecond) // 6 and 7 come before the racing viewer
			}
			publish(log, m)
			switch seq {
			case 5:
				given := in(record.Restored, quietNode, m, 0)
				given.At = cameAt + int64(5*time.Millisecond)
				log.Records = append(log.Records, given)
			case 7:
				newest = m
			case 8:
				given := in(record.Restored, racingNode, newest, 0)
				given.At = racedAt + int64(2*time.Millisecond)
				log.Records = append(log.Records, given)
			}
			if seq > 5 {
				log.Records = append(log.Records, in(record.Received, quietNode, m, time.Millisecond))
			}
			if seq > 7 {
				log.Records = append(log.Records, in(record.Received, racingNode, m, 5*time.Millisecond))
			}
		}
	}
	return log
}

// restoredAt returns the first last value that a viewer was given.
func restoredAt(log *record.Log, node uint16) *record.Record {
	for i := range log.Records {
		if r := &log.Records[i]; r.Kind == record.Restored && r.Node == node {
			return r
		}
	}
	panic("no such record")
}

func TestLateViewersAreJudged(t *testing.T) {
	facts := lateFacts{Quiet: []string{"late-1"}, Racing: []string{"racing-001"}, Marks: true}
	last := func(j *judged) { j.lastValues("STA-01", facts, j.samples("STA-01")) }
	older := func(j *judged) { j.neverOlder("ORD-04", facts.Racing, lateDevices) }
	forget := func(l *record.Log) {
		gone := restoredAt(l, quietNode)
		l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return r.Node == quietNode && r.Stream == gone.Stream })
	}
	verdictsOf(t, "ci", lateLog, []seeded{
		{"none, STA-01", nil, last, reports.Pass, ""},
		{"none, ORD-04", nil, older, reports.Pass, ""},
		{"F15 does not give a retained value", forget, last, reports.Fail, "no-last-value"},
		{"F15 gives an old retained value", func(l *record.Log) { restoredAt(l, quietNode).Seq-- }, last, reports.Fail, "old-last-value"},
		{"F15 gives a retained value as if it were live", func(l *record.Log) { restoredAt(l, quietNode).Kind = record.Received }, last, reports.Fail, "unmarked-last-value"},
		{"gives a retained value late", func(l *record.Log) { restoredAt(l, quietNode).At += 2 * int64(time.Second) }, last, reports.Fail, ""},
		{"F14 gives an older value after a live one", func(l *record.Log) {
			stale := *restoredAt(l, racingNode)
			stale.At = racedAt + int64(40*time.Millisecond)
			l.Records = append(l.Records, stale)
		}, older, reports.Fail, "stale"},
		{"nobody came", func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return r.Node == racingNode })
		}, older, reports.Inconclusive, ""},
	})
	// A protocol that cannot mark a last value is not blamed for that.
	facts.Marks = false
	verdictsOf(t, "ci", lateLog, []seeded{
		{"unmarked where nothing can be", func(l *record.Log) { restoredAt(l, quietNode).Kind = record.Received }, last, reports.Pass, ""},
	})
}

// withoutBetween takes away what arrived at a viewer of the first device within
// a time.
func withoutBetween(log *record.Log, node uint16, from, to time.Duration) {
	log.Records = slices.DeleteFunc(log.Records, func(r record.Record) bool {
		return r.Kind == record.Received && r.Node == node && r.Stream == 0 && r.At >= int64(from) && r.At < int64(to)
	})
}

func TestWhatIsShownIsJudged(t *testing.T) {
	final := func(j *judged) { j.finals("STA-03", 1) }
	fresh := func(j *judged) { j.fresh("LAT-07", j.samples("LAT-07")) }
	away := func(j *judged) {
		j.stood.Gaps = []oracle.Gap{{At: 10 * int64(time.Second), Length: 3 * time.Second}}
		j.fresh("LAT-07", j.samples("LAT-07"))
	}
	stuck := func(l *record.Log) { withoutBetween(l, viewerNode, 10*time.Second, time.Hour) }
	pause := func(l *record.Log) { withoutBetween(l, viewerNode, 10*time.Second, 13*time.Second) }
	tail := func(l *record.Log) { withoutBetween(l, viewerNode, 39990*time.Millisecond, time.Hour) }
	verdictsOf(t, "ci", goodLog, []seeded{
		{"none, STA-03", nil, final, reports.Pass, ""},
		{"none, LAT-07", nil, fresh, reports.Pass, ""},
		{"conflation, STA-03", func(l *record.Log) { withoutBetween(l, viewerNode, 10*time.Second, 39*time.Second) }, final, reports.Pass, ""},
		{"conflation, LAT-07", func(l *record.Log) { withoutBetween(l, viewerNode, 10*time.Second, 11*time.Second) }, fresh, reports.Pass, ""},
		{"F17 is stuck at the last value, STA-03", stuck, final, reports.Fail, "lost"},
		{"F17 is stuck at the last value, LAT-07", stuck, fresh, reports.Fail, "lost"},
		{"F17 is stuck for three seconds", pause, fresh, reports.Fail, "stale-shown"},
		{"F18 loses the last value", tail, final, reports.Fail, "lost"},
		{"F21 keeps the tail of a burst, LAT-07", tail, fresh, reports.Fail, "lost"},
		{"brings the last value late", func(l *record.Log) {
			for i := range l.Events {
				if e := &l.Events[i]; e.Kind == record.DrainEnd {
					e.At += int64(time.Minute)
				}
			}
			for i := len(l.Records) - 1; ; i-- {
				if r := &l.Records[i]; r.Kind == record.Received && r.Node == viewerNode {
					r.At += int64(1100 * time.Millisecond)
					return
				}
			}
		}, final, reports.Fail, ""},
		{"the rig itself was away", pause, away, reports.Inconclusive, ""},
		{"stuck while the rig was away", stuck, away, reports.Fail, "lost"},
	})
}

// mortalLog is of a device whose connection ended at one second.
func mortalLog() *record.Log {
	log := emptyLog()
	log.Index.Streams = []record.Stream{{Device: "mortal-1", Topic: harness.Topic("mortal-1/state"), Mode: "sim", QoS: 1, Foreign: true}}
	will := record.Record{Digest: 77, Flags: record.FlagForeign, Due: int64(time.Second)}
	log.Records = append(log.Records, in(record.Witnessed, witnessNode, will, 2*time.Millisecond), in(record.Received, viewerNode, will, 3*time.Millisecond))
	return log
}

func TestTheEndOfADeviceIsJudged(t *testing.T) {
	ends := []end{{Device: "mortal-1", Digest: 77, At: int64(time.Second)}}
	told := func(j *judged) { j.told("STA-02", ends, 1) }
	outside := func(j *judged) { j.base.BrokerInside = false; told(j) }
	unseen := func(kinds ...record.Kind) func(*record.Log) {
		return func(l *record.Log) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return slices.Contains(kinds, r.Kind) })
		}
	}
	ahead := []end{{Device: "mortal-1", Digest: 77, At: int64(time.Second) + int64(4*time.Millisecond), Since: int64(time.Second), Said: "the sensor said that it is online, which"}}
	sensor := func(j *judged) { j.told("STA-02", ahead, 1) }
	verdictsOf(t, "ci", mortalLog, []seeded{
		{"a sensor that a viewer shows before the witness has it", nil, sensor, reports.Pass, ""},
		{"does not show that a sensor is online", unseen(record.Received), sensor, reports.Fail, "not-told"},
		{"shows that a sensor is online late", func(l *record.Log) { l.Records[1].At += 3 * int64(time.Second) }, sensor, reports.Fail, ""},
		{"showed it only before it was said", func(l *record.Log) { l.Records[1].At = int64(time.Second) / 2 }, sensor, reports.Fail, "not-told"},
		{"none", nil, told, reports.Pass, ""},
		{"F16 does not pass a will on", unseen(record.Received), told, reports.Fail, "not-told"},
		{"F16 does not pass a will on from a broker outside", unseen(record.Received), outside, reports.Fail, "not-told"},
		{"no will, and the broker is inside", unseen(record.Received, record.Witnessed), told, reports.Fail, "not-told"},
		{"no will from a broker outside", unseen(record.Received, record.Witnessed), outside, reports.Inconclusive, "not-told"},
		{"F16 passes something else on", func(l *record.Log) { l.Records[1].Digest++ }, told, reports.Fail, "not-told"},
		{"passes a will on late", func(l *record.Log) { l.Records[1].At += 3 * int64(time.Second) }, told, reports.Fail, ""},
		{"fewer ends than asked for", nil, func(j *judged) { j.told("STA-02", ends, j.samples("STA-02")) }, reports.Inconclusive, ""},
	})
}

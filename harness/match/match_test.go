package match_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega/types"

	"plumbline/harness/match"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/reports"
)

// recording is of one device with three messages to one viewer.
func recording(change func(*record.Log)) *record.Log {
	log := &record.Log{Index: record.Index{
		Streams: []record.Stream{{Device: "d", Topic: "bench/d", QoS: 1}}, Epochs: []string{"e"},
		Nodes: []record.Node{{Name: "p", Role: "publisher"}, {Name: "w", Role: "witness"}, {Name: "v", Role: "viewer", Filters: []string{"bench/#"}}},
	}}
	log.Events = []record.Event{{Kind: record.Connected, Subject: "v"}, {Kind: record.Subscribed, Subject: "v"}}
	for seq := uint64(1); seq <= 3; seq++ {
		due := int64(seq) * 1000
		log.Records = append(log.Records,
			record.Record{Kind: record.Sent, Node: 0, Seq: seq, Due: due, At: due + 1, End: due + 2, Digest: seq, Aux: 1},
			record.Record{Kind: record.Acked, Node: 0, Seq: seq, At: due + 3, Digest: seq},
			record.Record{Kind: record.Witnessed, Node: 1, Seq: seq, At: due + 4, Digest: seq},
			record.Record{Kind: record.Received, Node: 2, Seq: seq, At: due + 5, Digest: seq, Offset: seq},
		)
	}
	if change != nil {
		change(log)
	}
	return log
}

func received(log *record.Log, seq uint64) *record.Record {
	for i := range log.Records {
		if r := &log.Records[i]; r.Kind == record.Received && r.Seq == seq {
			return r
		}
	}
	return nil
}

func TestMatchers(t *testing.T) {
	o := oracle.Options{BrokerInside: true, Requirement: "REQ-01"}
	good, err := oracle.Index(recording(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		matcher func() types.GomegaMatcher
		spoil   func(*record.Log)
		words   string
	}{
		{"everything", func() types.GomegaMatcher { return match.DeliverEverything(o) }, func(l *record.Log) {
			l.Records = l.Records[:len(l.Records)-1]
		}, "deliver every acknowledged message"},
		{"once", func() types.GomegaMatcher { return match.DeliverOnce(o) }, func(l *record.Log) {
			l.Records = append(l.Records, *received(l, 3))
		}, "deliver no message twice"},
		{"unchanged", func() types.GomegaMatcher { return match.DeliverUnchanged(o) }, func(l *record.Log) {
			received(l, 2).Flags |= record.FlagCorrupt
		}, "deliver nothing damaged"},
		{"order", func() types.GomegaMatcher { return match.KeepOrder(o) }, func(l *record.Log) {
			a, b := received(l, 2), received(l, 3)
			a.Seq, b.Seq, a.Digest, b.Digest = b.Seq, a.Seq, b.Digest, a.Digest
		}, "keep the order"},
		{"gaps", func() types.GomegaMatcher { return match.DeclareItsGaps(o) }, func(l *record.Log) {
			l.Events = append(l.Events, record.Event{At: 2500, Kind: record.ChainBroken, Subject: "v", Fields: map[string]string{"from": "2", "to": "3"}})
		}, "declare everything"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.matcher()
			if ok, err := m.Match(good); err != nil || !ok {
				t.Fatalf("a good recording gives %v, %v: %s", ok, err, m.FailureMessage(good))
			}
			bad, err := oracle.Index(recording(c.spoil))
			if err != nil {
				t.Fatal(err)
			}
			m = c.matcher()
			if ok, err := m.Match(bad); err != nil || ok {
				t.Fatalf("a spoilt recording gives %v, %v", ok, err)
			}
			text := m.FailureMessage(bad)
			for _, want := range []string{c.words, "1 violations", "REQ-01"} {
				if !strings.Contains(text, want) {
					t.Errorf("the message lacks %q:\n%s", want, text)
				}
			}
			for _, wrong := range []any{"text", 3, recording(nil), nil} {
				if ok, err := c.matcher().Match(wrong); err == nil || ok {
					t.Errorf("%T is taken for a history", wrong)
				}
			}
			if _, err := c.matcher().Match((*oracle.History)(nil)); err == nil {
				t.Error("a missing history is taken")
			}
		})
	}
}

// A run that recorded nothing has shown nothing.
func TestAnEmptyRecordingMatchesNothing(t *testing.T) {
	empty, err := oracle.Index(recording(func(l *record.Log) { l.Records = nil }))
	if err != nil {
		t.Fatal(err)
	}
	o := oracle.Options{BrokerInside: true}
	for name, m := range map[string]types.GomegaMatcher{
		"everything": match.DeliverEverything(o), "once": match.DeliverOnce(o), "unchanged": match.DeliverUnchanged(o),
		"order": match.KeepOrder(o), "gaps": match.DeclareItsGaps(o),
	} {
		if ok, err := m.Match(empty); err == nil || ok {
			t.Errorf("%s: an empty recording gives %v, %v", name, ok, err)
		}
	}
}

// Beside a broker of somebody else's, what only its acknowledgement vouches for
// is missing all the same.
func TestWhatOnlyThePublisherKnowsIsMissing(t *testing.T) {
	h, err := oracle.Index(recording(func(l *record.Log) {
		l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool {
			return r.Seq == 3 && (r.Kind == record.Witnessed || r.Kind == record.Received)
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := h.Delivery(oracle.Options{}); d.Lost != 0 || d.Unconfirmed != 1 {
		t.Fatalf("delivery is %+v", d)
	}
	if ok, err := match.DeliverEverything(oracle.Options{}).Match(h); err != nil || ok {
		t.Errorf("a missing message gives %v, %v", ok, err)
	}
}

func TestHaveVerdict(t *testing.T) {
	r := reports.Result{Requirement: "LAT-01", Scenario: "steady", Verdict: reports.Fail, Sentence: "too late"}
	if ok, err := match.HaveVerdict(reports.Fail).Match(r); err != nil || !ok {
		t.Errorf("match gives %v, %v", ok, err)
	}
	m := match.HaveVerdict(reports.Pass)
	if ok, err := m.Match(r); err != nil || ok {
		t.Errorf("mismatch gives %v, %v", ok, err)
	}
	for _, want := range []string{"LAT-01", "too late", "PASS", "FAIL"} {
		if text := m.FailureMessage(r); !strings.Contains(text, want) {
			t.Errorf("the message lacks %q: %s", want, text)
		}
	}
	if ok, err := m.Match("PASS"); err == nil || ok {
		t.Error("a text is taken for a result")
	}
}

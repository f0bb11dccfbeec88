package scenarios

import (
	"fmt"
	"testing"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
)

// A run that is clearly good or bad may end early where nothing is certified;
// one that is neither, or has too few samples, goes on.
func TestRunsEndEarlyOnlyWhenItIsClear(t *testing.T) {
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	if _, asked := p.Limits["LAT-03"]; asked || len(tails(p)) != 1 || len(quantiles(p)) != 2 {
		t.Errorf("smoke asks for %v, of %v", tails(p), quantiles(p))
	}
	p.Limits["LAT-03"] = profile.Limit{Time: time.Second, Samples: 2995}
	uncut := func(l *record.Log) { // without the outage of viewer-02 nothing is late
		for i := range l.Records {
			if r := &l.Records[i]; r.Kind == record.Received && r.Flags&record.FlagCatchUp != 0 {
				r.At, r.Flags = int64(r.Offset)*every+int64(time.Millisecond), 0
			}
		}
	}
	for name, c := range map[string]struct {
		tamper func(*record.Log)
		want   stats.Clarity
		short  bool
	}{
		"good":                     {uncut, stats.Good, false},
		"a tail that is too long":  {func(l *record.Log) { uncut(l); delay(l, 2, 100, 3*time.Second); delay(l, 3, 100, 3*time.Second) }, stats.Bad, true}, // in clumps, which count little
		"losses":                   {func(l *record.Log) { uncut(l); drop(l, 60) }, stats.Bad, true},                                                      // likewise
		"one loss in 40 000":       {func(l *record.Log) { uncut(l); drop(l, 1) }, stats.Good, false},
		"too short to be anything": {func(l *record.Log) { uncut(l); l.Records = l.Records[:3000] }, stats.Open, true},
	} {
		log := goodLog()
		c.tamper(log)
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		o := oracle.Options{BrokerInside: true}
		if got := foreseen(h, o, p); got != c.want {
			t.Errorf("%s: foreseen %v, want %v", name, got, c.want)
		}
		if short := shortOf(h, o, p); (short != nil) != c.short {
			t.Errorf("%s: short of %v", name, short)
		}
	}
}

// Samples that hang together in the middle only are too few for the median; a
// further run follows although the tails would do.
func TestTheMedianCanWantMoreRuns(t *testing.T) {
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	log := goodLog()
	for i := range log.Records {
		r := &log.Records[i]
		if r.Kind != record.Received {
			continue
		}
		due := int64(r.Offset) * every
		r.At, r.Flags = due+int64(time.Millisecond), 0
		if due/int64(time.Second)%5 < 2 { // two seconds of five are a little slower
			r.At += int64(500 * time.Microsecond)
		}
		if r.Offset%20 == 0 { // a twentieth takes longer than all others, spread evenly
			r.At += int64(time.Millisecond)
		}
	}
	h, err := oracle.Index(log)
	if err != nil {
		t.Fatal(err)
	}
	short := shortOf(h, oracle.Options{BrokerInside: true}, p)
	if short == nil || short.id != "LAT-01" || short.Effective >= 100 || short.Asked != 100 {
		t.Errorf("%v, want LAT-01 to ask for 100", short)
	}
	delete(p.Limits, "LAT-01")
	if short := shortOf(h, oracle.Options{BrokerInside: true}, p); short != nil {
		t.Errorf("without it %v", short)
	}
}

// Visits whose first samples come late in clumps are too few of themselves.
func TestVisitsAreMadeAgainForWantOfSamples(t *testing.T) {
	p, err := spec.Catalogue().Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		visits, clump int
		short         bool
	}{"apart": {120, 1, false}, "in clumps": {120, 6, true}, "in clumps, more of them": {720, 6, false}, "a few": {30, 1, true}} {
		log := &record.Log{Index: record.Index{Epochs: []string{"e1"},
			Nodes:   []record.Node{{Name: "publisher", Role: "publisher"}},
			Streams: []record.Stream{{Device: "d1", Topic: "bench/d1", QoS: 1}}}}
		for i := range c.visits {
			at, node := int64(i+1)*int64(100*time.Millisecond), uint16(len(log.Index.Nodes))
			visitor := fmt.Sprintf("visitor-%03d", i+1)
			log.Index.Nodes = append(log.Index.Nodes, record.Node{Name: visitor, Role: "viewer", Filters: []string{"bench/#"}})
			log.Events = append(log.Events, record.Event{At: at, Kind: record.Connected, Subject: visitor}, record.Event{At: at, Kind: record.Subscribed, Subject: visitor})
			took := int64(2 * time.Millisecond)
			if i%(20*c.clump) < c.clump {
				took *= 5
			}
			sent := record.Record{Kind: record.Sent, Seq: uint64(i) + 1, Due: at + 1e6, At: at + 1e6, End: at + 1e6 + 1000, Bytes: 10, Digest: uint64(i) + 1, Aux: 1}
			got := record.Record{Kind: record.Received, Node: node, Seq: sent.Seq, At: sent.Due + took, Bytes: 10, Digest: sent.Digest, Offset: sent.Seq}
			log.Records = append(log.Records, sent, got)
		}
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		if first, left := firstsOf(h, oracle.Options{}, time.Second); len(first.Series.Value) != c.visits || left != 0 {
			t.Errorf("%s: %d first samples and %d left, want %d", name, len(first.Series.Value), left, c.visits)
		}
		if short := shortOfVisits(h, oracle.Options{}, p); (short != nil) != c.short {
			t.Errorf("%s: short of %v", name, short)
		}
	}
	delete(p.Limits, "LAT-08")
	if short := shortOfVisits(nil, oracle.Options{}, p); short != nil {
		t.Errorf("not asked for, and short of %v", short)
	}
}

// A visitor that left before its first message came, or was late, had no sample;
// one in a hundred may have been unlucky, and one that was cut did not leave.
func TestVisitorsWhoLeftEarlyHaveNoSample(t *testing.T) {
	for name, c := range map[string]struct {
		early  int
		stays  time.Duration
		reason string
		values int
		left   int
	}{
		"none":             {0, 30 * time.Millisecond, record.ReasonClosed, 100, 0},
		"one":              {1, 30 * time.Millisecond, record.ReasonClosed, 100, 0},
		"every fifth":      {20, 30 * time.Millisecond, record.ReasonClosed, 80, 20},
		"cut, every fifth": {20, 30 * time.Millisecond, "reset", 100, 0},
		"waited in vain":   {20, 2 * time.Second, record.ReasonClosed, 100, 0},
	} {
		log := &record.Log{Index: record.Index{Epochs: []string{"e1"},
			Nodes:   []record.Node{{Name: "publisher", Role: "publisher"}},
			Streams: []record.Stream{{Device: "d1", Topic: "bench/d1", QoS: 1}}}}
		for i := range 100 {
			at, node := int64(i+1)*int64(100*time.Millisecond), uint16(len(log.Index.Nodes))
			visitor := fmt.Sprintf("visitor-%03d", i+1)
			log.Index.Nodes = append(log.Index.Nodes, record.Node{Name: visitor, Role: "viewer", Filters: []string{"bench/#"}})
			log.Events = append(log.Events, record.Event{At: at, Kind: record.Connected, Subject: visitor}, record.Event{At: at, Kind: record.Subscribed, Subject: visitor})
			sent := record.Record{Kind: record.Sent, Seq: uint64(i) + 1, Due: at + 1e6, At: at + 1e6, End: at + 1e6 + 1000, Bytes: 10, Digest: uint64(i) + 1, Aux: 1}
			log.Records = append(log.Records, sent)
			if i >= c.early {
				log.Records = append(log.Records, record.Record{Kind: record.Received, Node: node, Seq: sent.Seq, At: sent.Due + 2e6, Bytes: 10, Digest: sent.Digest, Offset: sent.Seq})
			}
			log.Events = append(log.Events, record.Event{At: at + int64(c.stays), Kind: record.Disconnected, Subject: visitor, Fields: map[string]string{"reason": c.reason}})
		}
		log.Events = append(log.Events, record.Event{At: int64(time.Minute), Kind: record.DrainEnd})
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		if first, left := firstsOf(h, oracle.Options{}, time.Second); len(first.Series.Value) != c.values || left != c.left {
			t.Errorf("%s: %d samples and %d left, want %d and %d", name, len(first.Series.Value), left, c.values, c.left)
		}
	}
}

// drop takes away arrivals at the first viewer, one a millisecond apart.
func drop(log *record.Log, n int) {
	for range n {
		remove(log, where(log, 2, int64(10*time.Second), 1))
	}
}

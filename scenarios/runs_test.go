package scenarios

import (
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
	if _, asked := p.Limits["LAT-03"]; asked || len(tails(p)) != 1 {
		t.Errorf("smoke asks for %v", tails(p))
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
			t.Errorf("%s: short of %+v", name, short)
		}
	}
}

// drop takes away arrivals at the first viewer, one a millisecond apart.
func drop(log *record.Log, n int) {
	for range n {
		remove(log, where(log, 2, int64(10*time.Second), 1))
	}
}

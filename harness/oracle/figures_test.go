package oracle

import (
	"math"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// frozen is a bridge that stands still for 5 s of 10 s at a constant rate:
// everything intended in between arrives when it wakes.
func frozen() *story {
	const rate, seconds = 200, 10
	s := newStory("a").viewer("v", "#")
	s.event(0, record.WindowOpen, "w").event(seconds*int64(time.Second), record.WindowClose, "w")
	freeze, thaw := int64(2*time.Second), int64(7*time.Second)
	s.event(freeze, record.FaultOnset, "freeze").event(thaw, record.FaultEnd, "freeze")
	for i := range uint64(rate * seconds) {
		at := int64(i) * int64(time.Second) / rate
		s.add(record.Record{Kind: record.Sent, Seq: i + 1, Due: at, At: max(at, 1), Aux: 1})
		s.add(record.Record{Kind: record.Acked, Seq: i + 1, At: at + 10})
		arrived := at + ms/10
		if at >= freeze && at < thaw {
			arrived = thaw + int64(i)
		}
		s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Seq: i + 1, At: arrived, Offset: i + 1})
	}
	return s
}

// TestFreeze is the self-check of the whole method: latency counts from the
// intended instant, so half of the window spent frozen must show as p75 = 2.5 s,
// p90 = 4.0 s and a mean of 1.25 s, each within 2 %. A closed loop would show
// one late message.
func TestFreeze(t *testing.T) {
	h := frozen().index(t)
	d := Distribution("t0i→t4", "freeze", h.Latencies(Options{}), nil)
	got := map[string]float64{"mean": float64(d.Mean)}
	for _, p := range d.Percentiles {
		switch p.Q {
		case 0.75:
			got["p75"] = float64(p.Value)
		case 0.9:
			got["p90"] = float64(p.Value)
		}
	}
	for name, want := range map[string]float64{"p75": 2500, "p90": 4000, "mean": 1250} {
		if math.Abs(got[name]-want) > 0.02*want {
			t.Errorf("%s = %.1f ms, want %.0f ms ± 2 %%", name, got[name], want)
		}
	}
	line := h.Timeline("latency", "freeze", 500*time.Millisecond, Options{})
	if len(line.Points) != 20 || len(line.Faults) != 1 || line.Faults[0].Onset != 2*time.Second || line.Faults[0].End != 7*time.Second {
		t.Fatalf("%d slots, faults %+v", len(line.Points), line.Faults)
	}
	if line.Points[0].P50 > 1 || math.Abs(float64(line.Points[4].Max)-5000) > 10 || line.Points[15].Max > 1 {
		t.Errorf("slots before, at and after the freeze: %+v %+v %+v", line.Points[0], line.Points[4], line.Points[15])
	}
}

func TestLatencies(t *testing.T) {
	s := newStory("a").viewer("v", "#").viewer("w", "t/b").send(1, 2, 3).get("v", 1, 3).
		add(record.Record{Kind: record.Blocked, Seq: 4, Due: due(4), At: due(4)})
	l := s.index(t).Latencies(Options{})
	if len(l.Series.Value) != 4 || l.Lost != 1 || l.Blocked != 1 || l.Negative != 0 {
		t.Fatalf("%v, lost %d, blocked %d", l.Series.Value, l.Lost, l.Blocked)
	}
	for i, want := range []float64{1, math.Inf(1), 1, math.Inf(1)} {
		if l.Series.Value[i] != want || l.Series.Due[i] != due(uint64(i+1)) {
			t.Errorf("message %d: %v intended at %d", i+1, l.Series.Value[i], l.Series.Due[i])
		}
	}
	s = newStory("a").viewer("v", "#").send(1)
	s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Seq: 1, At: due(1) - 5})
	if l := s.index(t).Latencies(Options{}); l.Negative != 1 {
		t.Errorf("an arrival before the intended instant is not noticed: %+v", l)
	}
}

func TestOptionsNarrow(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").viewer("w", "#").send(1, 2).sendOn(1, 1, 2)
	s.event(0, record.WindowOpen, "one").event(due(2), record.WindowClose, "one").event(due(2), record.WindowOpen, "two").event(due(3), record.WindowClose, "two")
	h := s.index(t)
	for name, c := range map[string]struct {
		o    Options
		want int64
	}{
		"everything":   {Options{}, 8},
		"one viewer":   {Options{Viewers: []string{"w"}}, 4},
		"one device":   {Options{Devices: []string{"b"}}, 4},
		"one window":   {Options{Window: "two"}, 4},
		"no window":    {Options{Window: "three"}, 0},
		"from and to":  {Options{From: due(1), To: due(2)}, 4},
		"nobody":       {Options{Viewers: []string{"x"}}, 0},
		"combinations": {Options{Window: "one", Devices: []string{"a"}, Viewers: []string{"v"}}, 1},
	} {
		if d, _ := h.Delivery(c.o); d.Owed != c.want || d.Lost != c.want {
			t.Errorf("%s: owed %d, lost %d, want %d", name, d.Owed, d.Lost, c.want)
		}
	}
}

func TestDistribution(t *testing.T) {
	l := Latencies{Series: stats.Series{Value: []float64{0.001, 1, 1.05, 250, math.Inf(1)}}}
	d := Distribution("x", "s", l, []reports.Limit{{Requirement: "LAT-01", Q: 0.5, Value: 3}})
	if d.N != 5 || d.Lost != 1 || d.Min != 0.001 || d.Max != 250 || len(d.Limits) != 1 {
		t.Errorf("%+v", d)
	}
	total := int64(0)
	for i, b := range d.Buckets {
		total += b.Count
		if b.Low >= b.High || (i > 0 && math.Abs(b.Low-d.Buckets[i-1].High) > 1e-9*b.Low) {
			t.Errorf("bucket %d: [%v, %v) after one that ends at %v", i, b.Low, b.High, d.Buckets[max(i-1, 0)].High)
		}
	}
	if total != 4 {
		t.Errorf("%d samples in buckets, want the 4 that arrived", total)
	}
	if last := d.Percentiles[len(d.Percentiles)-1]; last.Q != 1 || !math.IsInf(float64(last.Value), 1) {
		t.Errorf("the curve ends at %+v, want +Inf: one never came", last)
	}
	empty := Distribution("x", "s", Latencies{}, nil)
	if empty.N != 0 || !math.IsNaN(float64(empty.Mean)) || len(empty.Percentiles) != 0 {
		t.Errorf("of nothing: %+v", empty)
	}
}

func TestHopsAndIntegrity(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").viewer("w", "t/a").send(1, 2, 3).sendOn(1, 1).write(1, 2).
		get("v", 1, 2, 2, 3).getOn("v", 1, 1).get("w", 1, 3, 2).
		add(record.Record{Kind: record.Blocked, Stream: 1, Seq: 3, Due: due(3)})
	h := s.index(t)
	rows := h.Integrity("s", Options{})
	want := []reports.Integrity{
		{Device: "a", Scenario: "s", Mode: "sim", Sent: 3, Acked: 3, Witnessed: 3, Expected: 6, Delivered: 6, Duplicated: 1, Reordered: 1},
		{Device: "b", Scenario: "s", Mode: "sim", Sent: 2, Acked: 1, Blocked: 1, Witnessed: 1, Expected: 1, Delivered: 1},
	}
	if len(rows) != 2 || rows[0] != want[0] || rows[1] != want[1] {
		t.Errorf("integrity\n%+v\nwant\n%+v", rows, want)
	}
	hops := map[string]reports.Hop{}
	for _, hop := range h.Hops("s", Options{}) {
		hops[hop.Name] = hop
	}
	if hop := hops["broker → viewer"]; hop.N != 7 || hop.P50 != 0.5 {
		t.Errorf("broker → viewer: %+v, want 7 of 0.5 ms", hop)
	}
	if hop := hops["whole way"]; hop.N != 7 || hop.P50 != 1 {
		t.Errorf("whole way: %+v, want 7 of 1 ms", hop)
	}
	if hop := hops["schedule → write"]; hop.N != 5 || hop.P50 != 0.001 {
		t.Errorf("schedule → write: %+v, want 5 of 1 µs", hop)
	}
}

func TestRigHealth(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").send(1, 2, 3, 4).
		add(record.Record{Kind: record.Blocked, Seq: 5, Due: due(5)})
	// A forwarded device sets its own time: 80 ms on a serial line are no slip.
	s.log.Index.Streams[1].Period = 0
	s.add(record.Record{Kind: record.Sent, Stream: 1, Seq: 1, Due: due(1), At: due(1) + 80*ms, Aux: 1})
	rig := s.index(t).RigHealth(Options{})
	if rig.Offered != 6 || rig.Achieved != 5 || rig.SlipP99 != 0.001 || rig.SlipMax != 0.001 || !math.IsNaN(float64(rig.FloorP99)) {
		t.Errorf("%+v", rig)
	}
}

// TestClockBackwards: nothing arrives before it is intended or written.
func TestClockBackwards(t *testing.T) {
	for name, at := range map[string]int64{"before it was intended": due(1) - 1, "before it was written": due(1) + 999} {
		s := newStory("a").viewer("v", "#").send(1)
		s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Seq: 1, At: at})
		if l := s.index(t).Latencies(Options{}); l.Negative != 1 {
			t.Errorf("%s: %d negative", name, l.Negative)
		}
	}
}

// TestOwedFromItsOwnFilterOn: each filter of a viewer owes from the moment when
// it was subscribed, not from that of another.
func TestOwedFromItsOwnFilterOn(t *testing.T) {
	s := newStory("a", "b").viewer("v", "t/a", "t/b").send(1, 2).sendOn(1, 1, 2).
		event(due(1), record.Subscribed, "v", "filter", "t/a").
		event(due(2), record.Subscribed, "v", "filter", "t/b").
		get("v", 1, 2).getOn("v", 1, 2)
	if d, found := s.index(t).Delivery(Options{}); d.Owed != 3 || d.Lost != 0 {
		t.Errorf("%+v %q, want three owed", d, tell(found))
	}
}

// TestForwardedRawFirstBlocked: a forwarded device stays the generator's, also
// when its first frame could not be written.
func TestForwardedRawFirstBlocked(t *testing.T) {
	s := newStory().viewer("v", "#")
	s.log.Index.Streams = []record.Stream{{Device: "f", Topic: "t/f", Foreign: true, Mode: "replay"}}
	s.add(record.Record{Kind: record.Blocked, Seq: 1, Due: due(1), At: due(1)})
	s.add(record.Record{Kind: record.Sent, Flags: record.FlagForeign, Seq: 2, Due: due(2), At: due(2) + ms, Digest: 12, Aux: 1})
	s.add(record.Record{Kind: record.Received, Flags: record.FlagForeign, Node: s.viewers["v"], Digest: 12, At: due(2) - ms})
	h := s.index(t)
	if rig := h.RigHealth(Options{}); rig.Offered != 2 || rig.Achieved != 1 {
		t.Errorf("offered %d, achieved %d, want 2 and 1", rig.Offered, rig.Achieved)
	}
	if l := h.Latencies(Options{}); l.Blocked != 1 || l.Negative != 1 {
		t.Errorf("blocked %d, negative %d, want one of each", l.Blocked, l.Negative)
	}
}

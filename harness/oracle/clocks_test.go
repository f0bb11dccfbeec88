package oracle_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/reports"
)

// distant is a steady recording of n messages, 1 ms apart and on their way for
// took, whose one viewer was stamped by another clock.
func distant(t *testing.T, n int, took, uncertainty time.Duration) *oracle.History {
	t.Helper()
	log := &record.Log{Index: record.Index{
		Streams: []record.Stream{{Device: "a", Topic: "bench/a", QoS: 1, Period: time.Millisecond}},
		Nodes: []record.Node{
			{Name: "publisher", Role: "publisher"}, {Name: "witness", Role: "witness"},
			{Name: "viewer-01", Role: "viewer", Filters: []string{"bench/#"}, Clock: "host:1", Uncertainty: uncertainty},
		},
	}}
	end := int64(0)
	for i := range n {
		due, seq := int64(i+1)*int64(time.Millisecond)*10, uint64(i)+1
		log.Records = append(log.Records,
			record.Record{Kind: record.Sent, Node: 0, Seq: seq, Due: due, At: due, End: due},
			record.Record{Kind: record.Acked, Node: 0, Seq: seq, At: due + 1},
			record.Record{Kind: record.Witnessed, Node: 1, Seq: seq, At: due + 1},
			record.Record{Kind: record.Received, Node: 2, Seq: seq, At: due + int64(took)})
		end = due
	}
	log.Events = []record.Event{
		{At: 1, Kind: record.Subscribed, Subject: "viewer-01"},
		{At: 1, Kind: record.WindowOpen, Subject: "w"}, {At: end + 1, Kind: record.WindowClose, Subject: "w"},
		{At: end + int64(time.Minute), Kind: record.DrainEnd, Subject: "w"},
	}
	h, err := oracle.Index(log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func judgeDistant(t *testing.T, took, uncertainty time.Duration) reports.Result {
	t.Helper()
	h := distant(t, 6000, took, uncertainty)
	rig := h.RigHealth(oracle.Options{})
	rig.ClockRead, rig.FloorP50, rig.FloorP99, rig.FloorP999 = 30, 0.1, 0.1, 0.1
	return oracle.JudgeLatency(reports.Requirement{ID: "LAT-02", Quantile: 0.99, Measurand: "t0i→t4"}, oracle.LatencyInput{
		Scenario: "steady", Profile: "test 1.0", Latency: h.Latencies(oracle.Options{}), Limit: 20 * time.Millisecond, Guard: 300 * time.Microsecond, Rig: rig,
	})
}

// The uncertainty of a clock widens the guard band both ways: nearer to the
// limit than that nothing passes and nothing fails.
func TestAClockWidensTheGuard(t *testing.T) {
	const u = time.Millisecond
	for _, c := range []struct {
		took time.Duration
		want reports.Verdict
	}{
		{18500 * time.Microsecond, reports.Pass},
		{19000 * time.Microsecond, reports.ConditionalPass}, // with u it may be beyond the guarded limit
		{21200 * time.Microsecond, reports.ConditionalFail},
		{21600 * time.Microsecond, reports.Fail},
	} {
		r := judgeDistant(t, c.took, u)
		if r.Verdict != c.want {
			t.Errorf("%v: %s(%s), not %s: %s", c.took, r.Verdict, r.Reason, c.want, r.Sentence)
		}
		if r.Measurement.Guard != 1.3 || !strings.Contains(r.Sentence, "U = 1.3 ms (k=2), of it ±1.0 ms for the clock of agent host:1") {
			t.Errorf("%v: guard %v, %s", c.took, r.Measurement.Guard, r.Sentence)
		}
	}
	if r := judgeDistant(t, 19*time.Millisecond, 0); r.Verdict != reports.Pass {
		t.Errorf("with a clock that is known: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// A clock that is known less well than to a fifth of the limit says nothing.
func TestAClockThatIsHardlyKnown(t *testing.T) {
	r := judgeDistant(t, 5*time.Millisecond, 4100*time.Microsecond)
	if r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonClock || !strings.Contains(r.Sentence, "clock of agent host:1 is known to ±4.1 ms") {
		t.Errorf("%s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// What arrives early by less than the uncertainty is no sign of a bad clock;
// what arrives earlier is.
func TestArrivalsBeforeTheyWereSent(t *testing.T) {
	for took, want := range map[time.Duration]int64{-time.Millisecond: 0, -3 * time.Millisecond: 10} {
		if l := distant(t, 10, took, 2*time.Millisecond).Latencies(oracle.Options{}); l.Negative != want {
			t.Errorf("%v: %d are negative, not %d", took, l.Negative, want)
		}
	}
}

// A figure that is nearer to its limit than the clocks are known decides nothing.
func TestAFigureNearItsLimit(t *testing.T) {
	for estimate, want := range map[float64]reports.Verdict{8: reports.Pass, 9.5: reports.Inconclusive, 10.5: reports.Inconclusive, 11.5: reports.Fail} {
		r := oracle.JudgeDeterministic(reports.Requirement{ID: "LAT-07"}, oracle.DeterministicInput{
			Checks: 100, Figure: &reports.Measurement{Name: "longest", Unit: "ms", Estimate: reports.Float(estimate), Limit: 10, Guard: 1},
		})
		if r.Verdict != want || (want == reports.Inconclusive && r.Reason != reports.ReasonClock) {
			t.Errorf("%v ms: %s(%s) %s", estimate, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

func TestUnionOfGaps(t *testing.T) {
	got := oracle.Union([]oracle.Gap{{At: 50, Length: 10}, {At: 10, Length: 10}}, []oracle.Gap{{At: 15, Length: 20}, {At: 20, Length: 3}, {At: 60, Length: 1}})
	if want := []oracle.Gap{{At: 10, Length: 25}, {At: 50, Length: 11}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

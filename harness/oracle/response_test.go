package oracle

import (
	"math"
	"testing"
)

func TestResponsesAreWhatTheRecordsBearOut(t *testing.T) {
	h := newStory("d", "e").viewer("v", "t/#").send(1, 2, 3).get("v", 1, 2).index(t)
	at := func(seq uint64, passed bool) Stimulus {
		return Stimulus{Device: "d", Viewer: "v", What: "t = 1", At: due(seq) - 4*ms, Seq: seq, Passed: passed}
	}
	lost := at(3, true)
	lost.Seq = 0
	unseen := lost
	unseen.Passed = false
	stranger, beyond := at(1, true), at(1, true)
	stranger.Viewer, beyond.Seq = "w", 1000
	early := at(2, true)
	early.At = due(2) + 2*ms
	l, found := h.Responses(Options{Requirement: "HIL-01"}, []Stimulus{at(1, true), lost, unseen, at(3, true), stranger, beyond, early})
	if got := tell(found); got != "not-shown 0, not-published? 0, not-recorded? 3, not-recorded? 1, not-recorded? 1000" {
		t.Errorf("findings %s", got)
	}
	want := []float64{5, math.Inf(1), -1}
	if len(l.Series.Value) != len(want) || l.Lost != 1 || l.Negative != 1 {
		t.Fatalf("%v, %d lost, %d negative", l.Series.Value, l.Lost, l.Negative)
	}
	if l.Heard(0) != due(1) || l.Heard(1) != due(3) || l.Heard(2) != due(3) {
		t.Errorf("drivers had something at %d, %d and %d", l.Heard(0), l.Heard(1), l.Heard(2))
	}
	for i, v := range want {
		if l.Series.Value[i] != v {
			t.Errorf("response %d took %v ms, want %v", i, l.Series.Value[i], v)
		}
	}
}

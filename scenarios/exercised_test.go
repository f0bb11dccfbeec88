package scenarios

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/record"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// What was not put to the test, or not often enough, does not pass.
func TestWhatWasNotExercisedDoesNotPass(t *testing.T) {
	partial := goodLog()
	partial.Partial = true
	uncut := goodLog()
	uncut.Events = slices.DeleteFunc(uncut.Events, func(e record.Event) bool {
		return e.At == cutAt || e.At == backAt
	})
	flowing := func(j *judged) { // viewer-01 gets data all the time: the fault stopped nothing
		j.interrupted()
		judges["REC-02"](j)
	}
	for name, c := range map[string]struct {
		log    *record.Log
		judge  func(*judged)
		reason reports.Reason
	}{
		"times of a partial recording":   {partial, judges["REC-01"], reports.ReasonInterrupted},
		"fewer ways back than asked for": {goodLog(), func(j *judged) { j.resumed("REC-01", j.samples("REC-01")) }, reports.ReasonSamples},
		"no connection was lost":         {uncut, func(j *judged) { j.exercised(1); judges["DEL-05"](j) }, reports.ReasonSamples},
		"one of two cuts":                {goodLog(), func(j *judged) { j.exercised(2); judges["DEL-02"](j) }, reports.ReasonSamples},
		"an outage that stopped nothing": {goodLog(), flowing, reports.ReasonRig},
	} {
		if r := judgement(t, c.log, c.judge); r.Verdict != reports.Inconclusive || r.Reason != c.reason {
			t.Errorf("%s: %s(%s) %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
	silent := goodLog()
	silent.Records = slices.DeleteFunc(silent.Records, func(r record.Record) bool {
		return r.Kind == record.Received && r.At >= cutAt && r.At < backAt
	})
	if r := judgement(t, silent, flowing); r.Verdict != reports.Pass {
		t.Errorf("a real outage: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
	if r := judgement(t, goodLog(), func(j *judged) { j.exercised(1); judges["DEL-02"](j) }); r.Verdict != reports.Pass {
		t.Errorf("one cut of one: %s(%s) %s", r.Verdict, r.Reason, r.Sentence)
	}
}

// A bridge that lets a viewer in no more is judged by the recording; it is no
// fault of the harness.
func TestAViewerThatStaysAwayIsNoFaultOfTheHarness(t *testing.T) {
	b := &harness.Bench{Viewers: []harness.Viewer{&viewer.Viewer{}}}
	if came, err := back(t.Context(), b, time.Millisecond); came || err != nil {
		t.Errorf("came back: %v, error %v", came, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if came, err := back(ended, b, time.Minute); came || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: came back: %v, error %v", came, err)
	}
}

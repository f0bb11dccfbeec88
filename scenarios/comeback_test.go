package scenarios

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// The next restart waits for data after the one before, where a bridge takes its
// time to find its broker again; not for ever, and not beyond the run.
func TestTheNextRestartWaitsForData(t *testing.T) {
	asked := uint64(0)
	late := func() uint64 { // the tenth look shows one more
		asked++
		return asked / 10
	}
	if err := more(t.Context(), late, time.Minute); err != nil || asked < 10 {
		t.Errorf("waited for %d looks, %v", asked, err)
	}
	never := func() uint64 { return 7 }
	if err := more(t.Context(), never, 10*time.Millisecond); err != nil {
		t.Errorf("nothing came: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := more(ctx, never, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that ended gives %v", err)
	}
}

// A viewer that polls is let be for as long as it takes to ask for all its filters;
// where that takes too long, nothing is held against filters that nobody asked for.
func TestAViewerThatPollsIsGivenItsRounds(t *testing.T) {
	for name, c := range map[string]struct {
		protocol string
		interval time.Duration
		filters  int
		held     time.Duration
		open     bool
	}{
		"subscribes":         {viewer.Plumbline, time.Second, 80, 600 * time.Millisecond, false},
		"polls fast":         {viewer.Poll, 20 * time.Millisecond, 80, 3800 * time.Millisecond, false},
		"polls one filter":   {viewer.Poll, 0, 1, 2600 * time.Millisecond, false},
		"polls once a while": {viewer.Poll, 0, 80, heldMost, true},
	} {
		cfg := viewer.Config{Protocol: c.protocol, Interval: c.interval, Filters: make([]string, c.filters)}
		f := refillFacts{Round: roundOf(cfg)}
		f.Held = heldFor(600*time.Millisecond, f.Round)
		if f.Held != c.held || (f.unasked() != nil) != c.open {
			t.Errorf("%s: a round of %s, let be for %s, %v", name, f.Round, f.Held, f.unasked())
		}
	}
	if got := heldFor(time.Minute, time.Hour); got != time.Minute {
		t.Errorf("a profile that lets it be for a minute gives it %s", got)
	}
}

// A filter that brought nothing is not lost when nobody is known to have asked for it.
func TestWhatNobodyAskedForIsNotLost(t *testing.T) {
	for asked, want := range map[bool]reports.Verdict{true: reports.Fail, false: reports.Inconclusive} {
		r := refilledLog()
		r.Records = slices.DeleteFunc(r.Records, func(one record.Record) bool { return one.Kind == record.Received && one.At > 4000*ms })
		got := judgement(t, &r.Log, func(j *judged) {
			if !asked {
				j.unmet = refillFacts{Round: time.Minute, Held: time.Second}.unasked()
			}
			j.refilled("REC-05", refillViewer, 2, 100, asked)
		})
		if got.Verdict != want {
			t.Errorf("asked %v: %s(%s) %s", asked, got.Verdict, got.Reason, got.Sentence)
		}
	}
}

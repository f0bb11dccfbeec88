package spec_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/harness/calibrate"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// adding is a calibrator at whose n-th measurement the rig adds the n-th of times
// at every quantile.
func adding(times [2]time.Duration) spec.Calibrator {
	calls := 0
	return func(_ context.Context, delay time.Duration) (*calibrate.Record, error) {
		calls++
		by := times[calls-1]
		return &calibrate.Record{Schema: calibrate.Schema, Rate: 1000, Levels: []calibrate.Level{{Delay: delay, N: 100, P50: by, P99: by, P999: by, Max: by}}}, nil
	}
}

// What the rig adds near the reference is its noise floor there, whether a chart is
// kept or not: above a fifth of a limit nothing is said.
func TestACalibrationIsANoiseFloor(t *testing.T) {
	for name, c := range map[string]struct {
		times [2]time.Duration
		want  reports.Verdict
	}{
		"little":             {[2]time.Duration{2 * time.Millisecond, time.Millisecond}, reports.Pass},
		"too much before it": {[2]time.Duration{2100 * time.Microsecond, time.Millisecond}, reports.Inconclusive},
		"too much after it":  {[2]time.Duration{0, 2100 * time.Microsecond}, reports.Inconclusive},
	} {
		dir := ""
		run, err := execute(t, "good", func(o *spec.Options) { dir, o.Reference, o.Calibrate = o.Dir, 20*time.Millisecond, adding(c.times) })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := resultOf(t, run, "LAT-01")
		if r.Verdict != c.want || c.want != reports.Pass && (r.Reason != reports.ReasonRig || !strings.Contains(r.Sentence, "added 2.1ms")) {
			t.Errorf("%s: %s(%s) %q", name, r.Verdict, r.Reason, r.Sentence)
		}
		if again, err := spec.Recompute(dir); err != nil || text(t, again) != text(t, run) {
			t.Errorf("%s: its files give another run, %v", name, err)
		}
	}
}

// calibrating is a calibrator whose n-th record is out of control for outside[n],
// and which fails with err from the second on.
func calibrating(calls *int, outside [2]string, err error) spec.Calibrator {
	return func(_ context.Context, delay time.Duration) (*calibrate.Record, error) {
		n := *calls
		*calls++
		if n > 0 && err != nil {
			return nil, err
		}
		return &calibrate.Record{Schema: calibrate.Schema, Rate: 1000, Outside: outside[n], Levels: []calibrate.Level{
			{Delay: delay, N: 100, P50: 70 * time.Microsecond, P99: time.Millisecond, P999: time.Millisecond, Max: time.Millisecond},
		}}, nil
	}
}

// A rig that is out of control before or after a run has measured no latency in
// it; everything else that was said stands. The run directory alone says the same.
func TestARigOutOfControlJudgesNoLatency(t *testing.T) {
	for name, c := range map[string]struct {
		outside [2]string
		err     error
		words   string // of the sentence; "" when the verdict stands
	}{
		"in control":             {},
		"out of control before":  {outside: [2]string{"p50 is 9ms", ""}, words: "out of control before the run: p50 is 9ms"},
		"out of control after":   {outside: [2]string{"", "p99 is 9ms"}, words: "out of control after the run: p99 is 9ms"},
		"cannot be calibrated":   {err: errors.New("no bridge"), words: "the calibration after the run failed: no bridge"},
		"out of control all day": {outside: [2]string{"a", "b"}, words: "out of control before the run: a; out of control after the run: b"},
	} {
		calls, dir := 0, ""
		run, err := execute(t, "good || more", func(o *spec.Options) {
			dir, o.Reference, o.Calibrate = o.Dir, 20*time.Millisecond, calibrating(&calls, c.outside, c.err)
		})
		if err != nil || calls != 2 {
			t.Fatalf("%s: %d calibrations, %v", name, calls, err)
		}
		r := resultOf(t, run, "LAT-01")
		switch {
		case c.words == "" && r.Verdict != reports.Pass:
			t.Errorf("%s: %s(%s) %q", name, r.Verdict, r.Reason, r.Sentence)
		case c.words != "" && (r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig || !strings.Contains(r.Sentence, c.words)):
			t.Errorf("%s: %s(%s) %q", name, r.Verdict, r.Reason, r.Sentence)
		}
		if other := resultOf(t, run, "REC-03"); other.Verdict != reports.Pass {
			t.Errorf("%s: what needs no clock is %s", name, other.Verdict)
		}
		if got := run.Environment["calibration_before"]; !strings.Contains(got, "20ms: p50 +70µs") {
			t.Errorf("%s: the environment says %q", name, got)
		}
		again, err := spec.Recompute(dir)
		if err != nil || text(t, again) != text(t, run) {
			t.Errorf("%s: its files give another run, %v", name, err)
		}
	}
}

// A profile that asks for a reference is not run without one, and its runs are
// not judged without one.
func TestAProfileAsksForACalibration(t *testing.T) {
	with := strings.Replace(profileOf(true), "guard: 0.3 ms", "guard: 0.3 ms, reference: 5 ms", 1)
	p, err := spec.Catalogue().Parse("engine.yaml", []byte(with))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := execute(t, "good", func(o *spec.Options) { o.Profile = p }); !errors.Is(err, spec.ErrUsage) {
		t.Errorf("without a calibrator: %v", err)
	}
	calls, dir := 0, ""
	run, err := execute(t, "good", func(o *spec.Options) {
		dir, o.Profile, o.Calibrate = o.Dir, p, calibrating(&calls, [2]string{}, nil)
	})
	if err != nil || calls != 2 || resultOf(t, run, "LAT-01").Verdict != reports.Pass {
		t.Fatalf("%d calibrations, %v", calls, err)
	}
	forgetCalibration(t, filepath.Join(dir, "config", "run.json"))
	again, err := spec.Recompute(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := resultOf(t, again, "LAT-01"); r.Verdict != reports.Inconclusive || !strings.Contains(r.Sentence, "the rig was not calibrated") {
		t.Errorf("without its calibration the run says %s, %q", r.Verdict, r.Sentence)
	}
	for _, bad := range []string{"2 s", "-1 ms", "20"} {
		if _, err := spec.Catalogue().Parse("engine.yaml", []byte(strings.Replace(with, "reference: 5 ms", "reference: "+bad, 1))); err == nil {
			t.Errorf("a reference of %s was taken", bad)
		}
	}
}

// forgetCalibration takes the calibration out of the conditions of a run.
func forgetCalibration(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var conditions map[string]json.RawMessage
	if err := json.Unmarshal(text, &conditions); err != nil {
		t.Fatal(err)
	}
	if conditions["calibration"] == nil {
		t.Fatalf("%s holds no calibration", file)
	}
	delete(conditions, "calibration")
	if text, err = json.Marshal(conditions); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

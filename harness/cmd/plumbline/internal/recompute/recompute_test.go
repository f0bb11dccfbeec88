package recompute

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"plumbline/reports"
)

// Every part of a result is compared; what differs is named.
func TestWhatDiffersIsNamed(t *testing.T) {
	result := func() reports.Result {
		return reports.Result{
			Requirement: "LAT-02", Scenario: "steady", Verdict: reports.Pass, Attempt: 1, Sentence: "it holds.", Started: time.Unix(1, 5).UTC(),
			Measurement: &reports.Measurement{Estimate: 1.5, Upper: reports.Float(math.Inf(1)), Lower: reports.Float(math.NaN())},
			Findings:    []reports.Finding{{Kind: "late"}},
		}
	}
	for name, c := range map[string]struct {
		change func(*reports.Result)
		want   []string
	}{
		"nothing":       {func(*reports.Result) {}, nil},
		"another zone":  {func(r *reports.Result) { r.Started = r.Started.In(time.FixedZone("x", 3600)) }, nil},
		"verdict":       {func(r *reports.Result) { r.Verdict = reports.Fail }, []string{"verdict PASS in the summary, FAIL from the files"}},
		"reason":        {func(r *reports.Result) { r.Reason = reports.ReasonRig }, []string{"verdict PASS in the summary, PASS(RIG) from the files"}},
		"sentence":      {func(r *reports.Result) { r.Sentence = "it  holds." }, []string{"sentence"}},
		"last bit":      {func(r *reports.Result) { r.Measurement.Estimate = reports.Float(math.Nextafter(1.5, 2)) }, []string{"measurement.estimate"}},
		"a bound":       {func(r *reports.Result) { r.Measurement.Upper, r.Measurement.Lower = 2, 1 }, []string{"measurement.lower", "measurement.upper"}},
		"no figure":     {func(r *reports.Result) { r.Measurement = nil }, []string{"measurement"}},
		"finding":       {func(r *reports.Result) { r.Findings[0].Seq = 7 }, []string{"findings"}},
		"a nanosecond":  {func(r *reports.Result) { r.Started = r.Started.Add(1) }, []string{"started"}},
		"two at a time": {func(r *reports.Result) { r.Headline, r.Attempt = "x", 2 }, []string{"attempt", "headline"}},
	} {
		changed := result()
		c.change(&changed)
		var want []string
		for _, w := range c.want {
			want = append(want, "scenario steady, attempt 1: "+w)
		}
		if got := results([]reports.Result{result()}, []reports.Result{changed}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := results([]reports.Result{result()}, nil); !slices.Equal(got, []string{"1 results in the summary, 0 from the files"}) {
		t.Errorf("a result that is gone: %q", got)
	}
}

func TestAFolderThatIsNoRun(t *testing.T) {
	dir := t.TempDir()
	if c, err := Check(t.Context(), dir); c != nil || !errors.Is(err, ErrNoRun) {
		t.Errorf("an empty folder gives %+v, %v", c, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "records"), 0o700); err != nil {
		t.Fatal(err)
	}
	if c, err := Check(t.Context(), dir); err != nil || c.Same() || len(c.Damage) == 0 {
		t.Errorf("a run without its manifest gives %+v, %v", c, err)
	}
}

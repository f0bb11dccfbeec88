package render

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/hdr"
)

func logNames(t *testing.T, run *reports.Run) (names []string) {
	t.Helper()
	files, err := logs(run)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.name)
	}
	return names
}

func TestLogsAreNamedAfterScenarios(t *testing.T) {
	run := sampleCertified()
	d := run.Latencies[0]
	run.Latencies = nil
	for _, scenario := range []string{"steady", "Steady", "../../etc/passwd", "", "steady", strings.Repeat("x", 5000), "no histogram"} {
		d.Scenario = scenario
		run.Latencies = append(run.Latencies, d)
	}
	run.Latencies[6].HDR = ""
	want := []string{"latency/steady.hlog", "latency/Steady-2.hlog", "latency/______etc_passwd.hlog", "latency/unnamed.hlog",
		"latency/steady-3.hlog", "latency/" + strings.Repeat("x", longestName) + ".hlog"}
	if got := logNames(t, run); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

// TestLogsSayWhenTheScenarioRan: the interval is that of the last attempt.
func TestLogsSayWhenTheScenarioRan(t *testing.T) {
	run := sampleCertified()
	run.Latencies = run.Latencies[:1]
	for i := range run.Results {
		run.Results[i].Scenario = run.Latencies[0].Scenario
		run.Results[i].Started, run.Results[i].Duration = run.Started.Add(time.Duration(i%3)*time.Minute), time.Duration(10+i%3)*time.Second
	}
	files, err := logs(run)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(files[0].content); !strings.Contains(text, "\n1763890987.000,12.000,") || !strings.Contains(text, "the 0 that never came count as 1h0m0s") {
		t.Errorf("the log is %.400q", text)
	}
}

// TestLogsRefuse: a summary whose histogram is none is named, and nothing is
// written of it.
func TestLogsRefuse(t *testing.T) {
	for _, text := range []string{"HISTFAAA", "=", "HISTFAAAAC14AQ\n,9,9,x"} {
		run := sampleCertified()
		run.Latencies[1].HDR = text
		dir := t.TempDir()
		if err := All(dir, run); !errors.Is(err, hdr.ErrDamaged) || !strings.Contains(err.Error(), `scenario "churn"`) {
			t.Errorf("%q: %v", text, err)
		}
		if names := listFiles(t, dir); len(names) > 0 {
			t.Errorf("%q: %v was written", text, names)
		}
	}
}

// TestAllFollowsNoLink: a folder of the run directory that leads elsewhere is
// refused, and a file of that name elsewhere stays.
func TestAllFollowsNoLink(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, LatencyFolder)); err != nil {
		t.Skip(err)
	}
	if err := All(dir, sampleCertified()); err == nil || !strings.Contains(err.Error(), LatencyFolder+" is no folder") {
		t.Errorf("a link in the place of the folder: %v", err)
	}
	if names := listFiles(t, elsewhere); len(names) > 0 {
		t.Errorf("%v was written behind the link", names)
	}
}

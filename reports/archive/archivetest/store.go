// Package archivetest makes stores of runs for tests.
package archivetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// Store is a store in a temporary folder of a test.
type Store struct {
	Root string
	t    *testing.T
	made int
}

// New makes an empty store. It is gone when the test ends.
func New(t *testing.T) *Store {
	t.Helper()
	return &Store{t: t, Root: t.TempDir()}
}

// Run makes a run of a bridge that passed, whose p99 is ms, a day after the one
// before. change, which may be nil, makes it another; the overall verdict follows.
func (s *Store) Run(ms float64, change func(*reports.Run)) *reports.Run {
	s.made++
	started := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, s.made)
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: fmt.Sprintf("run%04d", s.made), Started: started, Finished: started.Add(time.Minute),
		Profile: reports.Profile{Name: "ci", Version: "1.0", Digest: strings.Repeat("a", 64)}, Tool: reports.Tool{Name: "plumbline", Version: "1"},
		SUT: reports.SUT{Name: "bridged", Version: "v1"}, Environment: map[string]string{"cpu": "a", "load_1min_at_end": fmt.Sprint(s.made)},
		Devices: []reports.Device{{ID: "d", Kind: "gps", Mode: reports.ModeSim}}, Certifying: true,
		Requirements: []reports.Requirement{
			{ID: "LAT-02", Title: "p99", Text: "It shall be fast.", Class: reports.Mandatory, Rule: "DR-2", Quantile: 0.99},
			{ID: "DEL-01", Title: "no loss", Text: "It shall lose nothing.", Class: reports.Mandatory, Rule: "deterministic"},
		},
		Results: []reports.Result{
			{Requirement: "LAT-02", Scenario: "steady", Verdict: reports.Pass, Sentence: "So it is.", Headline: "fast", Started: started, Attempt: 1,
				Measurement: &reports.Measurement{Unit: "ms", Quantile: 0.99, N: 1000, Estimate: reports.Float(ms), Limit: 400, Guard: 0.1}},
			{Requirement: "DEL-01", Scenario: "steady", Verdict: reports.Pass, Sentence: "So it is.", Started: started, Attempt: 1},
		},
		Rig: reports.RigHealth{FloorP99: 0.15},
	}
	if change != nil {
		change(run)
	}
	run.Overall = run.Judge()
	return run
}

// Put writes the summary of a run into a folder of the store and returns its path;
// "" names the folder as the harness does.
func (s *Store) Put(folder string, run *reports.Run) string {
	s.t.Helper()
	if folder == "" {
		folder = run.Started.Format("20060102T150405Z") + "_" + run.Profile.Name + "_" + run.ID
	}
	dir := filepath.Join(s.Root, filepath.FromSlash(folder))
	var summary bytes.Buffer
	if err := errors.Join(render.JSON(&summary, run), os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, render.SummaryFile), summary.Bytes(), 0o600)); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// Play puts one run for each figure; change may be nil.
func (s *Store) Play(figures []float64, change func(i int, r *reports.Run)) {
	s.t.Helper()
	for i, ms := range figures {
		s.Put("", s.Run(ms, func(r *reports.Run) {
			if change != nil {
				change(i, r)
			}
		}))
	}
}

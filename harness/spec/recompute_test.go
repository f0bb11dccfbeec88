package spec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/spec"
	"plumbline/reports"
)

// text is the JSON form of what follows from the files of a run.
func text(t *testing.T, run *reports.Run) string {
	t.Helper()
	shown := *run
	shown.Environment, shown.Evidence, shown.Tool, shown.Finished = nil, nil, reports.Tool{}, shown.Started
	data, err := json.MarshalIndent(shown, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Whatever way a run goes, its directory alone gives it again.
func TestRecomputeGivesTheRunAgain(t *testing.T) {
	for _, filter := range []string{
		"!times-out && !interrupted && !disk-full && !sut-gone", "good", "times-out", "lacks || needs", "noisy || short", "panics || judges-and-panics || drive-panics", "keeps-nothing || keeps-nonsense || keeps-another",
		"sut-gone || after-sut-gone", "disk-full || after-disk-full", "other-disk-full || bench-gone", "interrupted || sut-gone", "asserts || forgets",
	} {
		noise = 2
		var dir string
		run, err := execute(t, filter, func(o *spec.Options) {
			dir, o.Command = o.Dir, "plumbline run --sut x"
			if filter == "times-out" {
				o.Timeout = 300 * time.Millisecond
			}
		})
		if run == nil {
			t.Fatal(err)
		}
		again, err := spec.Recompute(dir)
		if err != nil {
			t.Errorf("%q: %v", filter, err)
		}
		if again == nil || text(t, again) != text(t, run) {
			t.Errorf("%q: the run was\n%s\nits files give\n%s", filter, text(t, run), text(t, again))
		}
		if run.Results == nil {
			t.Errorf("%q: nothing to compare", filter)
		}
	}
}

// Each attempt keeps its file, and none is ever replaced.
func TestEachAttemptIsKept(t *testing.T) {
	noise = 2
	var dir string
	if _, err := execute(t, "noisy", func(o *spec.Options) { dir = o.Dir }); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "facts", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	if want := []string{"noisy-2.json", "noisy-3.json", "noisy.json"}; !slices.Equal(files, want) {
		t.Errorf("kept are %v, want %v", files, want)
	}
}

func TestRecomputeNamesWhatIsWrong(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if _, err := execute(t, "good", func(o *spec.Options) { o.Dir = good }); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, old, new string
		words          string
	}{
		"profile":           {"config/profile.yaml", "engine", "motor", "is not the profile"},
		"format":            {"config/run.json", "plumbline.run/v1", "plumbline.run/v9", "plumbline.run/v9"},
		"unknown condition": {"config/run.json", `"seed": 7`, `"seed": 7, "luck": 1`, "luck"},
		"broken conditions": {"config/run.json", `"seed": 7`, `"seed": seven`, "damaged"},
		"other loads":       {"config/run.json", `"burst": 1`, `"burst": 2`, `load "none" is`},
		"unknown loads":     {"config/run.json", `"none": {`, `"some": {`, `load "some"`},
		"no facts":          {"facts/good.json", "", "", "attempt 1"},
		"facts of another":  {"facts/good.json", `"scenario": "good"`, `"scenario": "forgets"`, "forgets"},
		"facts of a later":  {"facts/good.json", `"attempt": 1`, `"attempt": 2`, "attempt 2"},
		"facts' format":     {"facts/good.json", "plumbline.facts/v1", "plumbline.facts/v2", "plumbline.facts/v2"},
		"two in one":        {"facts/good.json", `{`, `{} {`, "damaged"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, c.file)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if c.old == "" {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, bytes.Replace(content, []byte(c.old), []byte(c.new), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := spec.Recompute(dir); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if run, err := spec.Recompute(t.TempDir()); run != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory gives %v, %v", run, err)
	}
}

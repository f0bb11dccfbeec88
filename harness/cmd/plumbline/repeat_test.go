package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// TestRepeatAndBaseline: each run has a directory of its own, and the runs are compared
// with those that were made before.
func TestRepeatAndBaseline(t *testing.T) {
	p := newProgram(t).withBridge(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	run := func(want int, args ...string) string {
		t.Helper()
		var errs bytes.Buffer
		cmd := p.command(ctx, append([]string{"run", "--profile", "smoke", "--label-filter", "mixed"}, args...)...)
		cmd.Stderr = &errs
		text, err := cmd.Output()
		if got := code(t, err); got != want {
			t.Fatalf("%q: exit code %d, want %d\n%s\n%s", args, got, want, text, errs.String())
		}
		return string(text)
	}
	first, second := filepath.Join(p.tmp, "first"), filepath.Join(p.tmp, "second")
	text := run(reports.ExitPass, "--output-dir", first, "--repeat", "2")
	if !strings.Contains(text, "repeat: run 2 of 2; exit 0; so far 0\n") {
		t.Errorf("no line of the repetition in\n%s", text)
	}
	if made, _ := filepath.Glob(filepath.Join(first, "*_smoke_*", "summary.json")); len(made) != 2 {
		t.Errorf("%d runs were made: %q", len(made), made)
	}
	text = run(reports.ExitPass, "--output-dir", second, "--baseline", first)
	if !regexp.MustCompile(`(?m)^compared: 1 lines: 0 regression, 0 improvement, 1 none, 0 undecided; outcome none; exit 0$`).MatchString(text) {
		t.Errorf("no comparison in\n%s", text)
	}
	// A baseline of another system leaves it open, whatever the run says.
	made, _ := filepath.Glob(filepath.Join(first, "*_smoke_*", "summary.json"))
	for _, path := range made {
		summary, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(summary, []byte(`"name": "bridged"`), []byte(`"name": "other"`), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run(reports.ExitInconclusive, "--output-dir", second, "--baseline", first)
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	// A busy machine may leave a verdict open, so the codes are held against one another.
	run := func(args ...string) (string, int) {
		t.Helper()
		var errs bytes.Buffer
		cmd := p.command(ctx, append([]string{"run", "--profile", "smoke", "--label-filter", "admission"}, args...)...)
		cmd.Stderr = &errs
		text, err := cmd.Output()
		got := code(t, err)
		if got != reports.ExitPass && got != reports.ExitInconclusive {
			t.Fatalf("%q: exit code %d\n%s\n%s", args, got, text, errs.String())
		}
		return string(text), got
	}
	first, second := filepath.Join(p.tmp, "first"), filepath.Join(p.tmp, "second")
	text, got := run("--output-dir", first, "--repeat", "2")
	if last := regexp.MustCompile(`(?m)^repeat: run 2 of 2; exit \d+; so far (\d+)$`).FindStringSubmatch(text); last == nil || last[1] != fmt.Sprint(got) {
		t.Errorf("exit code %d, and the repetition says %q in\n%s", got, last, text)
	}
	made, _ := filepath.Glob(filepath.Join(first, "*_smoke_*", "summary.json"))
	if len(made) != 2 {
		t.Errorf("%d runs were made: %q", len(made), made)
	}
	text, got = run("--output-dir", second, "--baseline", first)
	codes := regexp.MustCompile(`(?m)^(?:totals|compared): .*; exit (\d+)$`).FindAllStringSubmatch(text, -1)
	if len(codes) != 2 || fmt.Sprint(got) != max(codes[0][1], codes[1][1]) {
		t.Errorf("exit code %d, and run and comparison say %q in\n%s", got, codes, text)
	}
	// A baseline of another system leaves it open, whatever the run says.
	for _, path := range made {
		summary, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(summary, []byte(`"name": "bridged"`), []byte(`"name": "other"`), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, got := run("--output-dir", second, "--baseline", first); got != reports.ExitInconclusive {
		t.Errorf("compared with another system: exit code %d", got)
	}
}

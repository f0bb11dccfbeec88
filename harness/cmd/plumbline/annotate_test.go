package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/reports"
)

// failedRun is the least run that has something to annotate.
func failedRun() *reports.Run {
	run := &reports.Run{ID: "r", SUT: reports.SUT{Name: "bridge"}, Requirements: []reports.Requirement{{ID: "A-1", Title: "t", Text: "It shall.", Class: reports.Mandatory}},
		Results: []reports.Result{{Requirement: "A-1", Scenario: "a", Attempt: 1, Verdict: reports.Fail, Sentence: "A-1: it does not."}}}
	run.Overall = run.Judge()
	return run
}

// TestTheLastLineIsTheReport within GitHub Actions as well, where scripts read it, too.
func TestTheLastLineIsTheReport(t *testing.T) {
	for _, within := range []string{"", "true"} {
		var out, errs bytes.Buffer
		getenv := func(name string) string { return map[string]string{"GITHUB_ACTIONS": within}[name] }
		err := finish(streams{out: &out, err: &errs, getenv: getenv}, console.Style{}, &campaign.Outcome{Run: failedRun(), Report: "out/report.html"}, "my.sut.yaml", nil)
		if end := (*finished)(nil); !errors.As(err, &end) || end.code != reports.ExitFail || errs.Len() > 0 {
			t.Errorf("GITHUB_ACTIONS=%s: %v, %q", within, err, &errs)
		}
		if got := strings.Contains(out.String(), "::error file=my.sut.yaml"); got != (within != "") {
			t.Errorf("GITHUB_ACTIONS=%s: annotated: %v", within, got)
		}
		if !strings.HasSuffix(out.String(), "; exit 1\nreport: out/report.html\n") {
			t.Errorf("GITHUB_ACTIONS=%s: it ends otherwise:\n%s", within, &out)
		}
	}
}

// TestAnnotateWithinGitHubActions: the job is annotated at the descriptor and its
// summary is appended to what is there; elsewhere nothing is said.
func TestAnnotateWithinGitHubActions(t *testing.T) {
	run := failedRun()
	summary := filepath.Join(t.TempDir(), "summary.md")
	say := func(env map[string]string) (out, errs bytes.Buffer) {
		annotate(streams{in: &out, out: &out, err: &errs, getenv: func(name string) string { return env[name] }}, run, "my.sut.yaml")
		return out, errs
	}
	if out, errs := say(map[string]string{"GITHUB_STEP_SUMMARY": summary}); out.Len()+errs.Len() > 0 {
		t.Errorf("elsewhere it says %q, %q", &out, &errs)
	}
	if err := os.WriteFile(summary, []byte("# before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": summary}
	if out, errs := say(env); out.String() != "::error file=my.sut.yaml,line=1,title=A-1 t [a]%3A FAIL::A-1: it does not.\n" || errs.Len() > 0 {
		t.Errorf("it says %q, %q", &out, &errs)
	}
	text, err := os.ReadFile(summary)
	if err != nil || !strings.HasPrefix(string(text), "# before\n# bridge: FAIL\n") {
		t.Errorf("%v: the summary is %.200q", err, text)
	}
	if err := os.WriteFile(summary, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs := say(env); errs.Len() > 0 {
		t.Errorf("a summary that is full: %q", &errs)
	}
	if info, err := os.Stat(summary); err != nil || info.Size() != 1<<20 {
		t.Errorf("%v: a summary that is full has %d bytes", err, info.Size())
	}
	env["GITHUB_STEP_SUMMARY"] = t.TempDir()
	if out, errs := say(env); out.Len() == 0 || !strings.Contains(errs.String(), "tell GitHub of the run") {
		t.Errorf("a summary that cannot be written: %q, %q", &out, &errs)
	}
}

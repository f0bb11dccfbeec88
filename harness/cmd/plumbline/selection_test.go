package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/reports"
	"plumbline/reports/render"
)

// busy reports whether the machine, not the system under test, kept a scenario
// from its verdict: that may happen on one that others use as well.
func busy(r reports.Result) bool { return r.Verdict == reports.Inconclusive && r.Reason.Voids() }

// unharmed checks that everything passed, but for what a busy machine kept from it;
// what is refused does not depend on the machine while the rig itself runs.
func unharmed(t *testing.T, run *reports.Run) {
	t.Helper()
	for _, r := range run.Results {
		if r.Verdict != reports.Pass && (!busy(r) || strings.HasPrefix(r.Requirement, "SEC-") && r.Reason != reports.ReasonRig) {
			t.Errorf("%s in %s: %s", r.Requirement, r.Scenario, r.Sentence)
		}
	}
}

// sayOneThing checks that the files of a run that chose scenarios and did not fail
// say what the console said: PASS, of a selection.
func sayOneThing(t *testing.T, dir, console string) {
	t.Helper()
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if run.Overall.ExitCode() == reports.ExitFail || run.Deselected == nil || len(run.Deselected.Requirements) == 0 || run.Certified() {
		t.Errorf("the summary says %s, deselected %+v", run.Overall, run.Deselected)
	}
	word, failed, ctrf := run.Overall.String(), ` failures="0" errors="0"`, `"failed": 0`
	if run.Overall != reports.Pass {
		failed, ctrf = ` failures="0"`, `"failed": 1` // the run as a whole, which did not pass
	}
	for file, want := range map[string]string{
		render.HTMLFile: `<p class="word">` + word + `</p>`, render.MarkdownFile: "# bridged: " + word + "\n", render.TextFile: "\nOVERALL: " + word + " (a selection",
		render.JUnitFile: failed, render.CTRFFile: ctrf, render.BadgeFile: word + " of a selection",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Contains(text, []byte(want)) || bytes.Contains(text, []byte("NOT RUN</p>")) {
			t.Errorf("%s does not say %q: %v", file, want, err)
		}
	}
	if !strings.Contains(console, `deselected by the label filter "admission || sources"`) {
		t.Errorf("the console does not say what was left out:\n%s", console)
	}
}

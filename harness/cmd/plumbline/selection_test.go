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

// sayOneThing checks that the files of a run that chose scenarios and passed say
// what the console said: PASS, of a selection.
func sayOneThing(t *testing.T, dir, console string) {
	t.Helper()
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if run.Overall != reports.Pass || run.Deselected == nil || len(run.Deselected.Requirements) == 0 || run.Certified() {
		t.Errorf("the summary says %s, deselected %+v", run.Overall, run.Deselected)
	}
	for file, want := range map[string]string{
		render.HTMLFile: `<p class="word">PASS</p>`, render.MarkdownFile: "# bridged: PASS\n", render.TextFile: "\nOVERALL: PASS (a selection",
		render.JUnitFile: ` failures="0" errors="0"`, render.CTRFFile: `"failed": 0`, render.BadgeFile: "PASS of a selection",
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

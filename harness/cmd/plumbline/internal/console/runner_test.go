package console

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// obeyed reports whether the runner of GitHub Actions takes a line for a command
// (actions/runner, ActionCommand.cs): "::name properties::data" at its beginning,
// behind blanks or not, or in the older form "##[name properties]data" anywhere.
func obeyed(line string) bool {
	line = strings.TrimSpace(line)
	if rest, begins := strings.CutPrefix(line, "::"); begins && strings.Contains(rest, "::") {
		return true
	}
	_, rest, old := strings.Cut(line, "##[")
	return old && strings.Contains(rest, "]")
}

// TestTheRunnerOfGitHubObeysNothing: what a system, a device or an error says is no
// command, wherever it stands in a line.
func TestTheRunnerOfGitHubObeysNothing(t *testing.T) {
	for _, evil := range []string{
		"::error::x", "  ::add-mask::a", "::set-output name=a::b", "::stop-commands::token", "##[error]x", "a ##[add-mask]b", "\n::error::x", "\u202e::error::x",
		"##\u200b[error]x", ":\x00:warning::x", "::\u00adgroup::x", "::ERROR::x", "\u00a0::error::x",
	} {
		if !obeyed(strings.Map(func(r rune) rune { return map[bool]rune{true: r, false: -1}[r > ' ' && r < 0x7f || r == ' '] }, evil)) {
			t.Errorf("%q is no command to begin with; the test looks at nothing", evil)
		}
		var out bytes.Buffer
		p := NewProgress(&out, Style{}, time.Now)
		p.Head(Head{SUT: evil, Profile: evil, Scenarios: 1})
		p.Done(evil, time.Second, []reports.Result{{Requirement: evil, Scenario: evil, Verdict: reports.Fail, Headline: evil, Sentence: evil}})
		p.Note(evil)
		run := &reports.Run{Partial: evil, Deselected: &reports.Deselection{Filter: evil}, Requirements: []reports.Requirement{{ID: "A-1", Class: reports.Mandatory}},
			Results: []reports.Result{{Requirement: "A-1", Scenario: evil, Attempt: 1, Verdict: reports.Fail, Sentence: evil, Reproduce: evil,
				Findings: []reports.Finding{{Kind: evil, Subject: evil, Detail: evil}}}}}
		if err := errors.Join(p.Close(), Summary(&out, Style{}, run, Ending{})); err != nil {
			t.Fatal(err)
		}
		out.WriteString(Clean(evil) + "\n" + First(evil) + "\n" + Block("first\n"+evil) + "\n")
		for line := range strings.Lines(out.String()) {
			if obeyed(line) {
				t.Errorf("%q: the runner obeys %q", evil, line)
			}
		}
	}
	for _, text := range []string{"::1", "::ffff:192.0.2.1", "[::]:80", "a::b::c", "## [1]", "take 5::6"} {
		if got := Clean(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

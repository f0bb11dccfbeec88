package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"plumbline/reports"
)

// command is a workflow command as the runner reads it: the properties end at the
// first "::" behind the name, each is unescaped by itself.
var command = regexp.MustCompile(`^::(error|warning|notice) (?:file=([^,:\r\n]*),line=1,)?title=([^,:\r\n]*)::([^\r\n]*)$`)

var unescape = strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",").Replace

type annotation struct{ level, file, title, text string }

func annotations(t *testing.T, run *reports.Run, file string) (all []annotation) {
	t.Helper()
	text := rendered(t, func(w io.Writer, r *reports.Run) error { return GitHub(w, r, file) }, run)
	noHidden(t, "github", text)
	for line := range strings.Lines(text) {
		m := command.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("no workflow command: %q", line)
		}
		all = append(all, annotation{m[1], unescape(m[2]), unescape(m[3]), unescape(m[4])})
	}
	return all
}

func TestGitHubAnnotations(t *testing.T) {
	levels := map[string]string{"LAT-03": "error", "DEL-04": "error", "SEC-10": "error", "ORD-02": "error", "LAT-02": "warning", "REC-03": "warning", "REC-02": "warning"}
	order := ""
	for _, a := range annotations(t, sampleMixed(), "suts/a,b: c%.yaml") {
		id, _, _ := strings.Cut(a.title, " ")
		if a.level != levels[id] || a.file != "suts/a,b: c%.yaml" || a.text == "" {
			t.Errorf("%+v, want %s", a, levels[id])
		}
		delete(levels, id)
		order += a.level[:1]
	}
	if len(levels) > 0 || order != "eeeewww" {
		t.Errorf("missing %v, in the order %q", levels, order)
	}
	if all := annotations(t, sampleCertified(), ""); len(all) != 0 {
		t.Errorf("a certified run is annotated: %+v", all)
	}
	notices := annotations(t, sampleSelected(), "")
	if len(notices) != 2 || notices[0].level != "notice" || notices[1].level != "notice" {
		t.Errorf("a remark and what decides nothing: %+v", notices)
	}
	partial := sampleCertified()
	partial.Partial = "interrupted"
	partial.Overall = partial.Judge()
	if all := annotations(t, partial, ""); len(all) != 1 || all[0].level != "error" || !strings.Contains(all[0].text, "interrupted") {
		t.Errorf("a partial run: %+v", all)
	}
}

// TestGitHubShowsTen: the runner drops what is over without a word, so the tenth says so.
func TestGitHubShowsTen(t *testing.T) {
	run := sampleCertified()
	for i := range run.Results {
		run.Results[i].Verdict, run.Results[i].Headline = reports.Fail, "bad"
	}
	all := annotations(t, run, "")
	if last := all[len(all)-1]; len(all) != 10 || !strings.HasPrefix(last.title, fmt.Sprintf("%d more", len(run.Results)-9)) {
		t.Errorf("%d annotations of %d failures, the last is %+v", len(all), len(run.Results), last)
	}
}

// TestGitHubObeysNobody: no text of a system under test becomes a command.
func TestGitHubObeysNobody(t *testing.T) {
	texts := []string{"x\n::add-mask::secret", "x\r::error::fake", "::stop-commands::token", "%0A::error::fake", strings.Repeat("ä", 1<<20), "##[add-mask]x"}
	for _, text := range append(texts, hostile...) {
		run := sampleMixed()
		for i := range run.Results {
			run.Results[i].Sentence, run.Results[i].Scenario = text, text
			run.Results[i].Findings = []reports.Finding{{Kind: text, Subject: text, Detail: text}}
		}
		for _, a := range annotations(t, run, text) {
			if len(a.text) > 2*githubMessage || !utf8.ValidString(a.text) {
				t.Errorf("%.40q: %d bytes", text, len(a.text))
			}
		}
	}
}

func TestGitHubSummaryFits(t *testing.T) {
	run := sampleMixed()
	whole := rendered(t, Markdown, run)
	for _, room := range []int{0, 50, 500, 3000, 1 << 30} {
		var buf bytes.Buffer
		if err := GitHubSummary(&buf, run, room); err != nil {
			t.Fatal(err)
		}
		text := buf.String()
		switch {
		case len(text) > room:
			t.Errorf("%d bytes in a room of %d", len(text), room)
		case room > len(whole) && text != whole:
			t.Error("a summary that has room enough is not whole")
		case room == 3000 && (!strings.HasPrefix(whole, text[:2000]) || !strings.HasSuffix(text, "may not be longer.\n")):
			t.Errorf("a summary that is cut is %q … %q", text[:40], text[len(text)-60:])
		}
	}
	run.Results[0].Verdict, run.Results[0].Sentence = reports.Fail, strings.Repeat("x ", 1<<20)
	var buf bytes.Buffer
	if err := GitHubSummary(&buf, run, 1<<30); err != nil || buf.Len() > githubSummary || buf.Len() < 1000 {
		t.Errorf("%d bytes, %v", buf.Len(), err)
	}
}

func TestCodeQuality(t *testing.T) {
	read := func(run *reports.Run) (issues []codeQualityIssue) {
		t.Helper()
		text := rendered(t, func(w io.Writer, r *reports.Run) error { return CodeQuality(w, r, "suts/bridge.yaml") }, run)
		noHidden(t, "code quality", text)
		if err := json.Unmarshal([]byte(text), &issues); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, i := range issues {
			if seen[i.Fingerprint] || len(i.Fingerprint) != 64 || i.Description == "" || i.Check == "" || i.Location.Path != "suts/bridge.yaml" || i.Location.Lines.Begin != 1 {
				t.Errorf("issue %+v is incomplete or comes twice", i)
			}
			seen[i.Fingerprint] = true
		}
		return issues
	}
	want := map[string]string{"LAT-03": "critical", "ORD-02": "blocker", "SEC-10": "major", "LAT-02": "minor", "REC-02": "minor", "REC-03": "minor", "DEL-04": "critical"}
	first := read(sampleMixed())
	for _, i := range first {
		if i.Severity != want[i.Check] {
			t.Errorf("%s is %s, want %s", i.Check, i.Severity, want[i.Check])
		}
		delete(want, i.Check)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	again := sampleMixed()
	for i := range again.Results {
		again.Results[i].Headline, again.Results[i].Sentence = "other figures", "Other figures."
	}
	for i, issue := range read(again) {
		if issue.Fingerprint != first[i].Fingerprint {
			t.Errorf("%s is another issue in the next run", issue.Check)
		}
	}
	if issues := read(sampleCertified()); issues == nil || len(issues) != 0 {
		t.Errorf("a certified run has the issues %v, want an empty list", issues)
	}
	for n := range hostile {
		read(poisoned(n))
	}
}

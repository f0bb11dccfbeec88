package console

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

func failing() reports.Result {
	return reports.Result{
		Requirement: "DEL-01", Scenario: "delivery/steady", Verdict: reports.Fail,
		Sentence: "3 losses in 900 messages.", Headline: "3 lost, 0 allowed",
		Findings: []reports.Finding{
			{Kind: "lost", Subject: "sim-07", Detail: "seq 12"}, {Kind: "lost", Subject: "sim-07", Detail: "seq 13"},
			{Kind: "lost", Subject: "sim-08", Detail: "seq 1"}, {Kind: "lost", Subject: "sim-09", Detail: "seq 2"},
		},
		Reproduce: "plumbline run --label-filter req:DEL-01 --seed 7",
	}
}

func TestProgressIntoAPipeIsPlainLines(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, Style{}, time.Now)
	p.Head(Head{SUT: "bridged v1", Profile: "ci", Modes: []string{"real", "sim"}, Seed: 7, Scenarios: 12, Devices: 1})
	p.Apply(events.Event{Kind: events.ScenarioBegan, Scenario: "latency/steady"}) // is for the block alone
	p.Done("latency/steady", 2500*time.Millisecond, []reports.Result{
		{Requirement: "LAT-02", Verdict: reports.Pass, Headline: "p99 12 ms ≤ 100 ms"},
		{Requirement: "LAT-03", Scenario: "latency/steady", Attempt: 1, Verdict: reports.Inconclusive, Reason: reports.ReasonGenerator, Headline: "late"},
		{Requirement: "LAT-03", Scenario: "latency/steady", Attempt: 2, Verdict: reports.Inconclusive, Reason: reports.ReasonSamples, Headline: "too few"},
	})
	p.Done("empty", time.Second, nil)
	p.Note("careful")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"plumbline: bridged v1  profile ci  mode real+sim  seed 7  (12 scenarios, 1 device)",
		"[ 1/12] latency/steady  2.5 s",
		"  PASS             LAT-02  p99 12 ms ≤ 100 ms",
		"  INCONCLUSIVE     LAT-03  (N) too few  (after 1 voided attempt)",
		"[ 2/12] empty  1.0 s",
		"  NOT RUN          judged nothing",
		"careful", "",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestQuietProgressPrintsWarningsOnly(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, Style{Quiet: true}, time.Now)
	p.Head(Head{SUT: "bridged", Profile: "ci", Scenarios: 2})
	p.Done("a", time.Second, []reports.Result{{Requirement: "A-1", Verdict: reports.Pass}})
	p.Note("careful\x1b[2J")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "careful[2J\n" {
		t.Errorf("printed %q", got)
	}
}

// TestAReaderThatStandsStillHoldsUpNobody writes to a pipe that nobody reads.
func TestAReaderThatStandsStillHoldsUpNobody(t *testing.T) {
	r, w := io.Pipe()
	p := NewProgress(w, Style{Live: true, Width: 80, Height: 24}, time.Now)
	p.Head(Head{SUT: "bridged", Profile: "ci", Scenarios: 2})
	for range 1000 {
		p.Apply(events.Event{Kind: events.ScenarioBegan, Time: time.Now(), Scenario: "a"})
		p.Done("a", time.Second, nil)
	}
	p.Leave(time.Millisecond)
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if text := <-read; strings.Count(text, "judged nothing") != 1000 {
		t.Errorf("%d of 1000 lines came", strings.Count(text, "judged nothing"))
	}
}

func TestProgressSurvivesABrokenPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	p := NewProgress(w, Style{}, time.Now)
	p.Head(Head{SUT: "x", Profile: "y"})
	p.Note("still here")
	if err := p.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Close = %v, want the writer's error", err)
	}
}

func TestNoControlSequenceReachesTheTerminal(t *testing.T) {
	for _, evil := range []string{"\x1b[2Jgone", "a\nb", "a\u202eb", "bell\a", "\u009b31m"} {
		got := Clean(evil)
		if strings.ContainsAny(got, "\x1b\n\a\u202e\u009b") {
			t.Errorf("Clean(%q) = %q", evil, got)
		}
	}
	var out bytes.Buffer
	run := &reports.Run{Results: []reports.Result{{Requirement: "A-1", Verdict: reports.Fail, Sentence: "\x1b]0;title\a"}}}
	if err := Summary(&out, Style{}, run, Ending{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("escape in the summary: %q", out.String())
	}
}

func TestLastWordsOfAProcessAreKeptApart(t *testing.T) {
	const text = "bridge died; it printed last:\n    one\x1b[2J\n    two\n"
	if got, want := First(text), "bridge died; it printed last …"; got != want {
		t.Errorf("First = %q, want %q", got, want)
	}
	if got, want := First("whole\n"), "whole"; got != want {
		t.Errorf("First = %q, want %q", got, want)
	}
	if got, want := Block(text), "bridge died; it printed last:\n    one[2J\n    two"; got != want {
		t.Errorf("Block = %q, want %q", got, want)
	}
}

// TestSummaryOfInformativeOnesSaysWhatItIsWorth: a PASS of what nothing asks of a system is not to be taken for more.
func TestSummaryOfInformativeOnesSaysWhatItIsWorth(t *testing.T) {
	for class, want := range map[reports.Class]bool{reports.Optional: true, reports.Mandatory: false} {
		var out bytes.Buffer
		run := &reports.Run{Requirements: []reports.Requirement{{ID: "A-1", Class: class}}, Results: []reports.Result{{Requirement: "A-1", Verdict: reports.Pass}}}
		if err := Summary(&out, Style{}, run, Ending{}); err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(out.String(), "all of it is informative"); said != want || !strings.Contains(out.String(), "verdict PASS; exit 0") {
			t.Errorf("%s: %q", class, out.String())
		}
	}
}

func TestSummaryEndsWithTheReport(t *testing.T) {
	var out bytes.Buffer
	run := &reports.Run{
		Overall: reports.Fail, Certifying: true, Partial: "interrupted after 1 of 2 scenarios",
		Requirements: []reports.Requirement{{ID: "DEL-01"}, {ID: "A-1"}, {ID: "A-2"}, {ID: "A-3"}},
		Results:      []reports.Result{failing(), {Requirement: "A-1", Verdict: reports.Pass}, {Requirement: "A-2", Verdict: reports.NotApplicable}},
	}
	if err := Summary(&out, Style{}, run, Ending{Code: 1, Report: "out/run/report.html"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; last != "report: out/run/report.html" {
		t.Errorf("last line %q", last)
	}
	for _, want := range []string{
		"again: plumbline run --label-filter req:DEL-01 --seed 7", "lost sim-07: seq 12", "… and 1 more",
		"partial: this run is partial: interrupted after 1 of 2 scenarios",
		"NOT RUN          A-3\n",
		"totals: 4 requirements: 1 PASS, 1 FAIL, 0 ERROR, 0 INCONCLUSIVE, 0 CONDITIONAL FAIL, 0 CONDITIONAL PASS, 1 NOT RUN, 1 N/A; verdict FAIL; exit 1",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("summary lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "seq 2\n") {
		t.Error("more findings than the bound are repeated")
	}
}

func TestStyle(t *testing.T) {
	getenv := func(string) string { return "" }
	if s := StyleOf(&bytes.Buffer{}, getenv); s != (Style{}) {
		t.Errorf("a buffer has style %+v", s)
	}
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := StyleOf(f, getenv); s != (Style{}) {
		t.Errorf("a file has style %+v", s)
	}
	for in, want := range map[int]string{0: "abcdef", 6: "abcdef", 4: "abc…", 1: "…"} {
		if got := fit("abcdef", in); got != want {
			t.Errorf("fit(%d) = %q, want %q", in, got, want)
		}
	}
	if got := fit("日本語テキスト", 7); got != "日本語…" {
		t.Errorf("wide text is cut to %q", got)
	}
	if got := span(75 * time.Second); got != "1 min 15 s" {
		t.Errorf("span = %q", got)
	}
	if got := (Style{Color: true}).verdict(reports.Fail); !strings.HasPrefix(got, "\x1b[31mFAIL") {
		t.Errorf("colour: %q", got)
	}
	if got := Modes([]reports.Device{{Mode: "sim"}, {Mode: "real"}, {Mode: "sim"}}); strings.Join(got, ",") != "real,sim" {
		t.Errorf("modes %v", got)
	}
}

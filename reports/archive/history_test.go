package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumbline/reports"
	"plumbline/reports/archive/archivetest"
)

// keep is a store whose history is asked for.
type keep struct {
	*archivetest.Store
	t *testing.T
}

func newKeep(t *testing.T) *keep {
	t.Helper()
	return &keep{t: t, Store: archivetest.New(t)}
}

func (k *keep) history(choice Choice) *History {
	k.t.Helper()
	s, err := Load(k.Root)
	if err != nil {
		k.t.Fatal(err)
	}
	h, err := s.History(choice)
	if err != nil {
		k.t.Fatal(err)
	}
	return h
}

// latency is the one series that varies.
func latency(t *testing.T, h *History) *Series {
	t.Helper()
	if len(h.Lines) != 1 || len(h.Lines[0].Series) != 1 {
		t.Fatalf("%d lines: %+v", len(h.Lines), h.Lines)
	}
	return &h.Lines[0].Series[0]
}

// levels are figures that hardly spread, so many at each level.
func levels(parts ...float64) (out []float64) {
	rng := rand.New(rand.NewPCG(9, 9))
	for i := 0; i+1 < len(parts); i += 2 {
		for range int(parts[i]) {
			out = append(out, parts[i+1]*math.Exp(0.02*rng.NormFloat64()))
		}
	}
	return out
}

// TestHysteresis: a regression is announced when it lasts and withdrawn when a level
// as good as before lasts, and nothing comes and goes between.
func TestHysteresis(t *testing.T) {
	for _, c := range []struct {
		name    string
		figures []float64
		want    Outcome
		why     string
	}{
		{"few runs", levels(9, 10.), Undecided, "9 runs; 16 are needed: 7 are missing"},
		{"nothing happens", levels(40, 10.), None, "no change in 40 runs"},
		{"one slow run", levels(20, 10., 1, 30., 20, 10.), None, "no change"},
		{"not yet known", levels(20, 10., 2, 20.), None, "no change"},
		{"has to last", levels(30, 10., 4, 20.), Undecided, "may be a regression, if it lasts 5 runs"},
		{"lasts", levels(20, 10., 6, 20.), Regression, "at run run0021 of"},
		{"a few good runs are no recovery", levels(20, 10., 10, 20., 3, 10.), Regression, "at run run0021 of"},
		{"better, and not good", levels(20, 10., 15, 20., 15, 15.), Regression, "at run run0021 of"},
		{"recovered", levels(20, 10., 15, 20., 15, 10.), None, "recovered"},
		{"worse again", levels(20, 10., 15, 20., 15, 10., 15, 20.), Regression, "at run run0051 of"},
		{"improvement", levels(20, 20., 15, 10.), Improvement, "improvement"},
		{"an improvement lost", levels(20, 20., 15, 10., 15, 20.), Regression, "at run run0036 of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeep(t)
			k.Play(c.figures, nil)
			h := k.history(Choice{})
			s := latency(t, h)
			if s.Outcome != c.want || !strings.Contains(s.Why, c.why) || h.Outcome != c.want {
				t.Errorf("%s (%s), overall %s; want %s (%s)", s.Outcome, s.Why, h.Outcome, c.want, c.why)
			}
			if (s.Since != "") != (c.want == Regression || c.name == "has to last") {
				t.Errorf("since %q", s.Since)
			}
		})
	}
}

// TestVerdictsHaveHysteresis: a requirement that fails now and then is one regression
// and not one that comes and goes.
func TestVerdictsHaveHysteresis(t *testing.T) {
	for letters, want := range map[string]Outcome{
		"PPPP": None, "PPPF": Undecided, "PPFP": Undecided, "PPFPP": Undecided, "PPFPPP": None,
		"PPFF": Regression, "PFPFPF": Regression, "PFPFPFP": Regression, "PFPFPP": Regression, "PFPFPPP": None,
		"FFFF": None, "FFFP": None, "FPFF": Regression, "....": None, "P..F.F": Regression, "": None,
	} {
		s := &Strip{}
		for i, letter := range letters {
			v := map[rune]reports.Verdict{'P': reports.Pass, 'F': reports.Fail, '.': reports.Inconclusive}[letter]
			s.Verdicts = append(s.Verdicts, Ruling{Run: fmt.Sprint(i), Verdict: v})
		}
		if s.judge(); s.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", letters, s.Outcome, s.Why, want)
		}
		if s.Letters() != letters {
			t.Errorf("%s is written %s", letters, s.Letters())
		}
	}
}

// TestTheBenchIsNotTheSystem: a step at which the machine changed, or the rig's own
// null bridge became slower by as much, is not announced as one of the system.
func TestTheBenchIsNotTheSystem(t *testing.T) {
	figures := levels(20, 10., 10, 20.)
	for name, c := range map[string]struct {
		change func(i int, r *reports.Run)
		says   string
	}{
		"machine": {func(i int, r *reports.Run) {
			if i >= 20 {
				r.Environment["cpu"] = "b"
			}
		}, `cpu "a", then "b"`},
		"rig": {func(i int, r *reports.Run) {
			if r.Rig.FloorP99 = reports.Float(0.15 + 0.001*float64(i%3)); i >= 20 {
				r.Rig.FloorP99 *= 2
			}
		}, "null bridge"},
	} {
		k := newKeep(t)
		k.Play(figures, c.change)
		if s := latency(t, k.history(Choice{})); s.Outcome != Undecided || !strings.Contains(s.Why, c.says) {
			t.Errorf("%s: %s (%s)", name, s.Outcome, s.Why)
		}
	}
	k := newKeep(t)
	k.Play(figures, func(i int, r *reports.Run) {
		if r.Rig.FloorP99 = reports.Float(0.15 + 0.001*float64(i%3)); i >= 20 {
			r.Rig.FloorP99 *= 1.1 // a tenth more on the rig does not make the system twice as slow
		}
	})
	if s := latency(t, k.history(Choice{})); s.Outcome != Regression {
		t.Errorf("a little slower rig: %s (%s)", s.Outcome, s.Why)
	}
}

// TestOnlyLikeRunsMakeASeries: another text of the profile, other devices and a run
// that is not whole are left out, and that is said.
func TestOnlyLikeRunsMakeASeries(t *testing.T) {
	k := newKeep(t)
	k.Play(levels(20, 10.), func(i int, r *reports.Run) {
		switch i {
		case 0, 1:
			r.Profile.Digest = strings.Repeat("b", 64)
		case 2:
			r.Devices[0].Mode = reports.ModeReal
		case 3, 19:
			r.Partial = "interrupted"
		case 4:
			r.Results[0].Verdict, r.Results[0].Reason = reports.Inconclusive, reports.ReasonRig
		}
	})
	h := k.history(Choice{})
	l, s := h.Lines[0], latency(t, h)
	if len(l.Runs) != 20 || l.Compared != 15 || len(s.Points) != 14 || s.Points[0].Run != "run0006" {
		t.Errorf("%d runs, %d compared, %d points from %s", len(l.Runs), l.Compared, len(s.Points), s.Points[0].Run)
	}
	if got := strings.Join(l.Left, ", "); got != "1 with other devices, 2 by another text of the profile, 2 partial" {
		t.Errorf("left out: %s", got)
	}
}

// TestASelectionHidesNothing: runs of a part of the scenarios, which open a part of
// the bench, are left out of the series of whole runs, and are one where there are
// no others.
func TestASelectionHidesNothing(t *testing.T) {
	some := func(_ int, r *reports.Run) {
		r.Certifying, r.Devices = false, nil
		r.Deselected = &reports.Deselection{Filter: "sessions", Scenarios: []string{"other"}}
	}
	k := newKeep(t)
	k.Play(levels(20, 10., 10, 20.), nil)
	k.Play(levels(2, 20.), some)
	h := k.history(Choice{})
	l, s := h.Lines[0], latency(t, h)
	if h.Outcome != Regression || l.Compared != 30 || len(s.Points) != 30 || strings.Join(l.Left, ", ") != "2 of a selection" {
		t.Errorf("%s (%s), %d compared, %d points, left out: %q", h.Outcome, l.Why, l.Compared, len(s.Points), l.Left)
	}
	k = newKeep(t)
	k.Play(levels(20, 10., 10, 20.), some)
	if h := k.history(Choice{}); h.Outcome != Regression || h.Lines[0].Compared != 30 {
		t.Errorf("selections alone: %s (%s), %d compared", h.Outcome, h.Lines[0].Why, h.Lines[0].Compared)
	}
}

func TestChoice(t *testing.T) {
	k := newKeep(t)
	k.Play(levels(20, 10., 10, 20.), nil)
	k.Play(levels(3, 10.), func(_ int, r *reports.Run) { r.SUT.Name = "node" })
	k.Play(levels(3, 10.), func(_ int, r *reports.Run) { r.Profile.Name = "bench" })
	h := k.history(Choice{})
	var names []string
	for _, l := range h.Lines {
		names = append(names, l.System+" "+l.Profile)
	}
	if !slices.Equal(names, []string{"bridged bench", "bridged ci", "node ci"}) || h.Outcome != Regression {
		t.Errorf("lines %q, %s", names, h.Outcome)
	}
	for _, c := range []struct {
		choice Choice
		runs   int
		want   Outcome
	}{
		{Choice{System: "node"}, 3, Undecided},
		{Choice{System: "bridged", Profile: "ci"}, 30, Regression},
		{Choice{System: "bridged", Profile: "ci", Since: "run0021"}, 10, Undecided},
		{Choice{System: "bridged", Profile: "ci", Since: "2026-01-12"}, 20, Regression},
	} {
		h := k.history(c.choice)
		if len(h.Lines) != 1 || len(h.Lines[0].Runs) != c.runs || h.Outcome != c.want {
			t.Errorf("%+v: %s, %+v", c.choice, h.Outcome, h.Lines)
		}
	}
	s, err := Load(k.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, choice := range []Choice{{System: "none"}, {Profile: "none"}, {Since: "yesterday"}, {Since: "2030-01-01"}} {
		if _, err := s.History(choice); !errors.Is(err, ErrNothing) {
			t.Errorf("%+v: %v", choice, err)
		}
	}
}

// TestForms: the same store gives the same bytes in every form, and what a system is
// called is text in all of them.
func TestForms(t *testing.T) {
	k := newKeep(t)
	hostile := "<script>alert(1)</script>|`\x1b[31m\u202e@all"
	k.Play(levels(20, 10., 10, 20.), func(i int, r *reports.Run) {
		r.SUT.Name, r.Requirements[0].Title = hostile, hostile
		if i == 29 {
			r.Results[0].Measurement.Estimate = reports.Float(math.Inf(1))
		}
	})
	if err := os.MkdirAll(filepath.Join(k.Root, "<b>cut"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.Root, "<b>cut", "manifest.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	forms := func() (text, markdown, page, data bytes.Buffer) {
		h := k.history(Choice{})
		if err := errors.Join(h.Text(&text), h.Markdown(&markdown), h.HTML(&page), json.NewEncoder(&data).Encode(h)); err != nil {
			t.Fatal(err)
		}
		return text, markdown, page, data
	}
	text, markdown, page, data := forms()
	text2, markdown2, page2, data2 := forms()
	if text.String() != text2.String() || markdown.String() != markdown2.String() || page.String() != page2.String() || data.String() != data2.String() {
		t.Error("the same store gives different bytes")
	}
	for name, form := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "page": page.String()} {
		for _, bad := range []string{"\x1b", "\u202e"} {
			if strings.Contains(form, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		if name != "text" && (strings.Contains(form, "<script>") || strings.Contains(form, "<b>cut")) {
			t.Errorf("%s holds markup of the system's name", name)
		}
		for _, want := range []string{"regression", "run0021", "truncated"} {
			if !strings.Contains(form, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
	if !strings.Contains(text.String(), "HISTORY: regression: 1 systems and profiles, 30 runs: 1 regression, 0 undecided, 0 improvement, 0 none; 1 runs set aside") {
		t.Errorf("the last line is another:\n%s", text.String())
	}
	var back History
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || back.Outcome != Regression || back.Format != HistoryFormat {
		t.Errorf("JSON read back: %v, %+v", err, back.Outcome)
	}
}

func TestExitCodes(t *testing.T) {
	for o, want := range map[Outcome]int{Regression: 1, Undecided: 3, Improvement: 0, None: 0, "": 3} {
		if o.ExitCode() != want {
			t.Errorf("%q is exit code %d, want %d", o, o.ExitCode(), want)
		}
	}
}

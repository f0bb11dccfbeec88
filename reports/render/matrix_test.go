package render

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"plumbline/reports"
)

// sampleMatrix are three systems: one passes, one is mixed, of one only a family
// was asked.
func sampleMatrix() []*reports.Run {
	good, bad, part := sampleCertified(), sampleMixed(), sampleSelected()
	bad.SUT.Name, part.SUT.Name = "node | bridge", "part"
	bad.Profile, part.Profile = good.Profile, good.Profile
	return []*reports.Run{good, bad, part}
}

func matrixOf(t *testing.T, runs []*reports.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Matrix(&b, runs); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMatrix(t *testing.T) {
	text := matrixOf(t, sampleMatrix())
	lines := strings.Split(text, "\n")
	if lines[0] != `| requirement | bridged | node \| bridge | part |` || lines[1] != "|---|---|---|---|" {
		t.Errorf("the head is\n%s\n%s", lines[0], lines[1])
	}
	for _, want := range []string{
		"| **LAT-01** Median latency | PASS | PASS | deselected |",
		"| **SEC-05** Revocation | N/A | N/A | N/A |",
		"| **REC-02** Outage of the broker | PASS | NOT RUN | deselected |",
		"| **PRO-01** WebSocket by its standard (informative) | not asked | not asked | **FAIL** <sup>",
		"| **overall** | **PASS** | **ERROR** | **PASS** of a selection |",
		", part: 2 of 98 cases failed\n",
		"REC-03, node \\| bridge: reason: 12 effective samples",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("a row has other columns: %s", line)
		}
	}
}

// TestMatrixExplainsEachFail: every FAIL, ERROR and open cell has a note that
// names requirement and system, and each note is one line.
func TestMatrixExplainsEachFail(t *testing.T) {
	runs := sampleMatrix()
	runs[1].Results[0].Verdict, runs[1].Results[0].Headline = reports.Fail, strings.Repeat("a long story\n1. ", 99)
	text := matrixOf(t, runs)
	open := 0
	for _, run := range runs {
		for _, j := range run.Judgements() {
			switch j.Verdict {
			case reports.Fail, reports.Error, reports.ConditionalFail, reports.Inconclusive:
				open++
				if note := md(j.Requirement.ID) + ", " + md(run.SUT.Name) + ": "; !strings.Contains(text, note) {
					t.Errorf("no note %q", note)
				}
			default:
			}
		}
	}
	if n := strings.Count(text, "<sup>"); n != open || open < 5 {
		t.Errorf("%d notes for %d open cells", n, open)
	}
	_, notes, _ := strings.Cut(text, "of its report.\n\n")
	if n := strings.Count(notes, "\n"); n != open {
		t.Errorf("%d lines of notes for %d open cells:\n%s", n, open, notes)
	}
}

func TestMatrixRefusesWhatAnswersOtherQuestions(t *testing.T) {
	for name, change := range map[string]func([]*reports.Run) []*reports.Run{
		"none":            func([]*reports.Run) []*reports.Run { return nil },
		"another profile": func(r []*reports.Run) []*reports.Run { r[1].Profile.Digest = digestOf(99); return r },
		"one twice":       func(r []*reports.Run) []*reports.Run { r[2].SUT.Name = r[0].SUT.Name; return r },
		"another tier": func(r []*reports.Run) []*reports.Run {
			r[0].Devices[0].Tier, r[0].Devices[0].Time = 1, "live"
			r[1].Devices[0].Tier, r[1].Devices[0].Time = 1, "fast-forward"
			return r
		},
		"another tier, the first without any": func(r []*reports.Run) []*reports.Run {
			r[1].Devices[0].Tier, r[1].Devices[0].Time = 1, "live"
			r[2].Devices[0].Tier, r[2].Devices[0].Time = 2, "live"
			return r
		},
		"another catalogue": func(r []*reports.Run) []*reports.Run {
			r[1].Requirements[0].Text = "It shall do something else."
			return r
		},
	} {
		if err := Matrix(&bytes.Buffer{}, change(sampleMatrix())); !errors.Is(err, ErrMatrix) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMatrixIsInert: what a foreign system says is text in the table too.
func TestMatrixIsInert(t *testing.T) {
	for n := range hostile {
		run := poisoned(n)
		text := matrixOf(t, []*reports.Run{run})
		noHidden(t, "matrix", text)
		if strings.Contains(text, "<script") || strings.Contains(strings.ReplaceAll(text, `\]`, ""), "](") {
			t.Errorf("%q is alive in\n%s", hostile[n], text)
		}
	}
}

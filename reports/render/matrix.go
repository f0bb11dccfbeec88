package render

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"plumbline/reports"
)

// ErrMatrix marks runs that make no table together.
var ErrMatrix = errors.New("the runs make no table")

// Matrix writes several runs as one table in Markdown: a row per requirement, a
// column per system under test, and below it why each cell is what it is that
// neither passed nor does not apply. Runs of different profiles or catalogues,
// two of one system, or none at all are ErrMatrix: cells of one row must answer
// one question.
func Matrix(w io.Writer, runs []*reports.Run) error {
	clean := make([]*reports.Run, len(runs))
	for i, run := range runs {
		clean[i] = sanitize(run)
	}
	if err := oneTable(clean); err != nil {
		return err
	}
	m := newMatrix(clean)
	var b strings.Builder
	b.WriteString("| requirement |")
	for _, run := range clean {
		fmt.Fprintf(&b, " %s |", md(run.SUT.Name))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(clean)) + "\n")
	for _, req := range m.rows {
		fmt.Fprintf(&b, "| **%s** %s |", md(req.ID), md(capital(titleOf(req))))
		for i := range clean {
			fmt.Fprintf(&b, " %s |", m.cell(i, req.ID))
		}
		b.WriteString("\n")
	}
	b.WriteString("| **overall** |")
	for _, run := range clean {
		fmt.Fprintf(&b, " %s |", overallCell(run))
	}
	b.WriteString("\n\n" + matrixConditions(clean) + "\n")
	if len(m.notes) > 0 {
		b.WriteString("\n")
	}
	for i, note := range m.notes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, note)
	}
	_, err := io.WriteString(w, b.String())
	return wrap("matrix", err)
}

// oneTable reports what keeps the runs from standing in one table.
func oneTable(runs []*reports.Run) error {
	if len(runs) == 0 {
		return fmt.Errorf("render: matrix: %w: there is none", ErrMatrix)
	}
	first, placed, seen := runs[0], runs[0], map[string]string{}
	texts := map[string]string{}
	for _, run := range runs {
		if run.Profile != first.Profile {
			return fmt.Errorf("render: matrix: %w: %s was judged by profile %s %s, %s by %s %s (compare their SHA-256)", ErrMatrix,
				first.SUT.Name, first.Profile.Name, first.Profile.Version, run.SUT.Name, run.Profile.Name, run.Profile.Version)
		}
		switch a, b := placed.Tiers(), run.Tiers(); {
		case len(a) == 0: // none before it had devices
			placed = run
		case len(b) > 0 && !slices.Equal(a, b):
			return fmt.Errorf("render: matrix: %w: runs %s and %s differ in the tier or the time of devices, and live latency is only ever compared within one: %s against %s",
				ErrMatrix, placed.ID, run.ID, placed.Places(), run.Places())
		}
		if other, twice := seen[run.SUT.Name]; twice {
			return fmt.Errorf("render: matrix: %w: runs %s and %s are both of %q", ErrMatrix, other, run.ID, run.SUT.Name)
		}
		seen[run.SUT.Name] = run.ID
		for _, req := range run.Requirements {
			if text, known := texts[req.ID]; known && text != req.Text {
				return fmt.Errorf("render: matrix: %w: run %s was judged by another catalogue: there %s is another requirement", ErrMatrix, run.ID, req.ID)
			}
			texts[req.ID] = req.Text
		}
	}
	return nil
}

// matrix is the table at work.
type matrix struct {
	rows  []reports.Requirement
	cells []map[string]reports.Judgement // by run
	names []string
	notes []string

	absent []func(id string) string // by run: the word for a requirement that it does not list
}

func newMatrix(runs []*reports.Run) *matrix {
	m := &matrix{}
	seen := map[string]bool{}
	for _, run := range runs {
		by := map[string]reports.Judgement{}
		for _, j := range run.Judgements() {
			by[j.Requirement.ID] = j
			if !seen[j.Requirement.ID] {
				seen[j.Requirement.ID] = true
				m.rows = append(m.rows, j.Requirement)
			}
		}
		m.cells, m.names, m.absent = append(m.cells, by), append(m.names, run.SUT.Name), append(m.absent, absent(run))
	}
	return m
}

// absent says of a requirement that the run does not list whether its user left it
// out, or whether it was never asked.
func absent(run *reports.Run) func(id string) string {
	left := map[string]bool{}
	if run.Deselected != nil {
		for _, req := range run.Deselected.Requirements {
			left[req.ID] = true
		}
	}
	return func(id string) string {
		if left[id] {
			return "deselected"
		}
		return "not asked"
	}
}

// cell is the verdict on one system, with the number of its note.
func (m *matrix) cell(i int, id string) string {
	j, judged := m.cells[i][id]
	if !judged {
		return m.absent[i](id)
	}
	text := md(verdictText(j.Verdict, j.Reason))
	switch j.Verdict {
	case reports.Fail, reports.Error:
		text = "**" + text + "**"
	case reports.ConditionalFail, reports.Inconclusive:
	default:
		return text
	}
	m.notes = append(m.notes, fmt.Sprintf("%s, %s: %s", md(id), md(m.names[i]), md(cut(reason(j.Deciding), maxNote))))
	return fmt.Sprintf("%s <sup>%d</sup>", text, len(m.notes))
}

// maxNote bounds a note of the table in characters; the report of the run has it all.
const maxNote = 240

// noStatement is how the sentence of an INCONCLUSIVE begins its reason.
const noStatement = "no statement about conformity; "

// reason says in a line what a result rests on: figure against limit and the
// first thing that was found; of an INCONCLUSIVE the reason in its sentence.
func reason(res *reports.Result) string {
	text := firstOf(res.Headline, res.Sentence)
	if _, why, told := strings.Cut(res.Sentence, noStatement); told && res.Verdict == reports.Inconclusive {
		return why
	}
	if len(res.Findings) > 0 {
		f := res.Findings[0]
		text += fmt.Sprintf("; first: %s %s: %s", f.Kind, f.Subject, f.Detail)
	}
	return text
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func overallCell(run *reports.Run) string {
	text := "**" + run.Overall.String() + "**"
	switch {
	case run.Partial != "":
		text += ", partial"
	case run.Deselected != nil:
		text += " of a selection"
	}
	return text
}

// matrixConditions says what the table rests on, in one line.
func matrixConditions(runs []*reports.Run) string {
	parts := make([]string, len(runs))
	for i, run := range runs {
		parts[i] = fmt.Sprintf("%s run %s of %s", strings.TrimSpace(run.SUT.Name+" "+run.SUT.Version), run.ID, run.Started.UTC().Format("2006-01-02"))
	}
	return md(fmt.Sprintf("Profile %s; %s. Results relate only to the items tested, each under the conditions of its report.",
		strings.TrimSpace(runs[0].Profile.Name+" "+runs[0].Profile.Version), strings.Join(parts, ", ")))
}

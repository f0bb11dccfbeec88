package archive

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"plumbline/reports"
	"plumbline/reports/render"
)

// Text writes the history as a table for a terminal, without colour and control
// characters. The lines that begin with "HISTORY:" and "ASIDE:" are an interface for
// grep.
func (h *History) Text(w io.Writer) error {
	var b strings.Builder
	for i := range h.Lines {
		h.Lines[i].text(&b)
	}
	for _, note := range h.Notes {
		fmt.Fprintf(&b, "note: %s\n", render.Clean(note))
	}
	for _, a := range h.Aside {
		fmt.Fprintf(&b, "ASIDE: %s: %s\n", render.Clean(a.Path), render.Clean(a.Why))
	}
	fmt.Fprintf(&b, "HISTORY: %s: %s\n", h.Outcome, h.Counts())
	_, err := io.WriteString(w, b.String())
	return err
}

// Counts says of how many systems the history tells, and what.
func (h *History) Counts() string {
	n := map[Outcome]int{}
	runs := 0
	for _, l := range h.Lines {
		n[l.Outcome]++
		runs += len(l.Runs)
	}
	return fmt.Sprintf("%d systems and profiles, %d runs: %d regression, %d undecided, %d improvement, %d none; %d runs set aside",
		len(h.Lines), runs, n[Regression], n[Undecided], n[Improvement], n[None], len(h.Aside))
}

// Head says in a line what the newest run was and how many there are.
func (l *Line) Head() string {
	newest := l.Runs[len(l.Runs)-1]
	return fmt.Sprintf("%s, newest %s of %s: %s", plural(len(l.Runs), "run"), newest.ID, newest.Started.Format(time.DateOnly), newest.Verdict)
}

func (l *Line) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s, profile %s: %s\n  %s\n", render.Clean(l.System), render.Clean(l.Profile), l.Outcome, render.Clean(l.Head()))
	if len(l.Left) > 0 {
		fmt.Fprintf(b, "  left out of the series: %s\n", strings.Join(l.Left, ", "))
	}
	rows := l.rows()
	widths := [4]int{}
	for _, r := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	for _, r := range rows {
		line := "  "
		for i, width := range widths {
			line += r[i] + strings.Repeat(" ", width-utf8.RuneCountInString(r[i])+2)
		}
		b.WriteString(strings.TrimRight(line+r[4], " ") + "\n")
	}
	if n := l.Steady(); n > 0 {
		fmt.Fprintf(b, "  and %s that never changed\n", plural(n, "figure"))
	}
	b.WriteString("\n")
}

// rows are what is worth a line each: verdicts that changed and figures that vary.
func (l *Line) rows() (rows [][5]string) {
	for _, s := range l.Strips {
		if s.Outcome != None {
			rows = append(rows, [5]string{mark(s.Outcome, s.Informative), render.Clean(s.Requirement), "verdict", newest(s.Letters()), render.Clean(s.Why)})
		}
	}
	for i := range l.Series {
		if s := &l.Series[i]; !s.Flat() {
			rows = append(rows, [5]string{mark(s.Outcome, s.Informative), render.Clean(s.Requirement),
				render.Clean(s.Label()) + "  " + render.Quantity(float64(s.Newest()), render.Clean(s.Unit)), s.blocks(), render.Clean(s.Why)})
		}
	}
	return rows
}

// Steady counts the figures that are the same in all runs.
func (l *Line) Steady() (n int) {
	for i := range l.Series {
		if l.Series[i].Flat() {
			n++
		}
	}
	return n
}

func mark(o Outcome, informative bool) string {
	if informative {
		return "(" + string(o) + ")"
	}
	return string(o)
}

// shown is how many of the newest runs a table of text has room for.
const shown = 24

func newest(letters string) string {
	return letters[max(len(letters)-shown, 0):]
}

// blocks draws the newest figures with characters; × is what never came.
func (s *Series) blocks() string {
	const steps = "▁▂▃▄▅▆▇█"
	low, high := extent(s)
	var b strings.Builder
	for _, p := range s.Points[max(len(s.Points)-shown, 0):] {
		v := float64(p.Value)
		if math.IsInf(v, 0) {
			b.WriteRune('×')
			continue
		}
		share := (math.Log(v+shift(low)) - math.Log(low+shift(low))) / (math.Log(high+shift(low)) - math.Log(low+shift(low)))
		b.WriteString(string([]rune(steps)[min(max(int(share*8), 0), 7)]))
	}
	return b.String()
}

// Markdown writes the history for a pull request or a wiki. Foreign text in it is
// inert.
func (h *History) Markdown(w io.Writer) error {
	md := render.MarkdownText
	var b strings.Builder
	fmt.Fprintf(&b, "# History: %s\n\n%s.\n", h.Outcome, md(h.Counts()))
	for i := range h.Lines {
		l := &h.Lines[i]
		fmt.Fprintf(&b, "\n## %s, profile %s: %s\n\n%s.", md(l.System), md(l.Profile), l.Outcome, md(l.Head()))
		if len(l.Left) > 0 {
			fmt.Fprintf(&b, " Left out of the series: %s.", md(strings.Join(l.Left, ", ")))
		}
		b.WriteString("\n\n")
		rows := l.rows()
		if len(rows) > 0 {
			b.WriteString("| | Requirement | Figure | Runs | |\n|---|---|---|---|---|\n")
		}
		for _, r := range rows {
			fmt.Fprintf(&b, "| %s %s | %s | %s | `%s` | %s |\n", outcomeMark(r[0]), md(r[0]), md(r[1]), md(r[2]), r[3], md(r[4]))
		}
		if n := l.Steady(); n > 0 {
			fmt.Fprintf(&b, "\n%s never changed.\n", plural(n, "figure"))
		}
	}
	if len(h.Aside)+len(h.Notes) > 0 {
		b.WriteString("\n## Set aside and noted\n\n")
	}
	for _, a := range h.Aside {
		fmt.Fprintf(&b, "- **%s** %s\n", md(a.Path), md(a.Why))
	}
	for _, note := range h.Notes {
		fmt.Fprintf(&b, "- %s\n", md(note))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// outcomeMark is a sign before the word of an outcome.
func outcomeMark(word string) string {
	switch Outcome(strings.Trim(word, "()")) {
	case Regression:
		return "✘"
	case Undecided:
		return "◐"
	default:
		return "✔"
	}
}

// Class is the class of the style sheet that colours the outcome.
func (o Outcome) Class() string {
	switch o {
	case Regression:
		return "fail"
	case Undecided:
		return "open"
	case Improvement, None:
		return "pass"
	}
	return "none"
}

// ExitCode is what a command ends with that shows the history.
func (o Outcome) ExitCode() int {
	switch o {
	case Regression:
		return reports.ExitFail
	case Improvement, None:
		return reports.ExitPass
	}
	return reports.ExitInconclusive
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

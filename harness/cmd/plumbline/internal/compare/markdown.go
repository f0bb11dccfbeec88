package compare

import (
	"fmt"
	"io"
	"math"
	"strings"

	"plumbline/reports/render"
)

// Count says how many lines came to what; its form is an interface for grep.
func (c *Comparison) Count() string {
	n := map[Outcome]int{}
	for _, l := range c.Lines {
		n[l.Outcome]++
	}
	return fmt.Sprintf("%d lines: %d regression, %d improvement, %d none, %d undecided", len(c.Lines),
		n[Regression], n[Improvement], n[None], n[Undecided])
}

// Lead says in a sentence what the comparison comes to, and what it lacks.
func (c *Comparison) Lead() string {
	text := map[Outcome]string{
		Regression: "The new version is worse than the old.", Improvement: "The new version is better than the old.",
		None: "The new version is no worse than the old.", Undecided: "It is not known yet whether the new version is worse.",
	}[c.Outcome]
	if m := c.Missing; m.Old+m.New > 0 && c.Outcome == Undecided {
		text += fmt.Sprintf(" To tell, %d more runs of the old and %d of the new are needed, made in turn.", max(m.Old, 0), max(m.New, 0))
	}
	return text
}

// Text is a figure of both sides in a line.
func (f *Figure) Text() string {
	text := fmt.Sprintf("p%g in %s %.3g → %.3g %s", 100*f.Quantile, render.Clean(f.Scenario), float64(f.OldMedian), float64(f.NewMedian), render.Clean(f.Unit))
	if math.IsNaN(float64(f.Change)) {
		return text
	}
	return text + fmt.Sprintf(", %+.1f %% (%+.1f to %+.1f), p %.2g", 100*float64(f.Change), 100*float64(f.Low), 100*float64(f.High), f.P)
}

// Markdown writes the comparison for a pull request. Lines to which nothing happened
// are counted; foreign text in the others is inert.
func (c *Comparison) Markdown(w io.Writer) error {
	md := render.MarkdownText
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n%s %s.\n\n", md(c.System), c.Outcome, c.Lead(), md(c.Count()))
	fmt.Fprintf(&b, "| | Version | Runs |\n|---|---|---|\n| old | %s | %d |\n| new | %s | %d |\n\nProfile %s, runs made in the order %s.\n",
		md(c.Old.Version), len(c.Old.Directories), md(c.New.Version), len(c.New.Directories), md(c.Profile), short(c.Order))
	for i, warning := range c.Warnings {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "- ⚠ %s\n", md(warning))
	}
	steady := 0
	head := "\n| | Requirement | | Figure |\n|---|---|---|---|\n"
	for _, l := range c.Lines {
		if l.Outcome == None {
			steady++
			continue
		}
		figure := ""
		if l.Figure != nil {
			figure = l.Figure.Text()
		}
		fmt.Fprintf(&b, "%s| %s %s | **%s** %s%s | %s | %s |\n", head, l.Outcome.Mark(), l.Outcome, md(l.Requirement), md(l.Title), aside(l.Informative), md(l.Why), md(figure))
		head = ""
	}
	if steady > 0 {
		fmt.Fprintf(&b, "\n%d lines show no change.\n", steady)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func aside(informative bool) string {
	if informative {
		return " (informative)"
	}
	return ""
}

// Mark is the sign before the word of an outcome.
func (o Outcome) Mark() string {
	switch o {
	case Regression:
		return "✘"
	case Undecided:
		return "◐"
	}
	return "✔"
}

// Class is the class of the style sheet that colours the outcome.
func (o Outcome) Class() string {
	switch o {
	case Regression:
		return "fail"
	case Undecided:
		return "open"
	}
	return "pass"
}

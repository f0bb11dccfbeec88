package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"plumbline/reports"
)

// maxColumn bounds the columns of the table, so that one long title does not
// push every figure off the screen.
const maxColumn = 56

// Text writes the run as plain text, without colour and control characters. The
// lines that begin with "TOTAL:", "OVERALL:" and "DESELECTED:" are an interface
// for grep; failures are repeated at the end with the command that reproduces
// each, and remarks on what passed after them.
func Text(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	var b strings.Builder
	textHead(&b, run)
	judgements := run.Judgements()
	textTable(&b, judgements)
	textTrouble(&b, judgements)
	textRemarks(&b, judgements)
	if run.Partial != "" {
		fmt.Fprintf(&b, "\nPARTIAL: %s. What was recorded until then is kept.\n", run.Partial)
	}
	fmt.Fprintf(&b, "\nTOTAL: %s\n", run.Count())
	if s := deselectionSentence(run); s != "" {
		fmt.Fprintf(&b, "DESELECTED: %s\n", s)
	}
	fmt.Fprintf(&b, "OVERALL: %s (%s)\n", run.Overall, standing(run))
	_, err := io.WriteString(w, b.String())
	return wrap("text", err)
}

func textHead(b *strings.Builder, run *reports.Run) {
	fmt.Fprintf(b, "%s %s  run %s\n", run.Tool.Name, run.Tool.Version, run.ID)
	fmt.Fprintf(b, "SUT %s %s  profile %s %s  devices %s  seed %d\n",
		run.SUT.Name, run.SUT.Version, run.Profile.Name, run.Profile.Version, modes(run), run.Seed)
	fmt.Fprintf(b, "started %s  took %s\n\n", date(run.Started), span(run.Finished.Sub(run.Started)))
}

// textTable writes one line per requirement, columns as wide as needed.
func textTable(b *strings.Builder, judgements []reports.Judgement) {
	widths := [3]int{}
	rows := make([][4]string, 0, len(judgements))
	for _, j := range judgements {
		row := [4]string{j.Requirement.ID, verdictText(j.Verdict, j.Reason), titleOf(j.Requirement)}
		if j.Deciding != nil {
			row[3] = j.Deciding.Headline
		}
		for i := range widths {
			widths[i] = min(max(widths[i], utf8.RuneCountInString(row[i])), maxColumn)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %-*s  %s", widths[0], row[0], widths[1], row[1], widths[2], row[2], row[3])
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// titleOf is the title of a requirement with what it is worth.
func titleOf(req reports.Requirement) string {
	if req.Class == reports.Optional {
		return req.Title + " (informative)"
	}
	return req.Title
}

// textTrouble repeats what keeps the run from passing.
func textTrouble(b *strings.Builder, judgements []reports.Judgement) {
	for i, res := range resultsOf(judgements, troubling) {
		if i == 0 {
			b.WriteString("\nNOT PASSED\n")
		}
		fmt.Fprintf(b, "%s %s (%s)\n", res.Requirement, verdictText(res.Verdict, res.Reason), res.Scenario)
		if res.Sentence != "" {
			fmt.Fprintf(b, "    %s\n", res.Sentence)
		}
		textFindings(b, res.Findings)
		if res.Reproduce != "" {
			fmt.Fprintf(b, "    reproduce: %s\n", res.Reproduce)
		}
	}
}

// textRemarks lists what was found beside what passed.
func textRemarks(b *strings.Builder, judgements []reports.Judgement) {
	for i, res := range resultsOf(judgements, remarkable) {
		if i == 0 {
			b.WriteString("\nREMARKS\n")
		}
		fmt.Fprintf(b, "%s %s (%s)\n", res.Requirement, res.Verdict, res.Scenario)
		textFindings(b, res.Findings)
	}
}

// troubling reports whether a result keeps the run from passing.
func troubling(res *reports.Result) bool {
	return res.Verdict != reports.Pass && res.Verdict != reports.NotApplicable
}

// remarkable reports whether a result passed and has something to remark.
func remarkable(res *reports.Result) bool { return !troubling(res) && len(res.Findings) > 0 }

// resultsOf returns the results that stand and are of a kind, in their order.
func resultsOf(judgements []reports.Judgement, kind func(*reports.Result) bool) (all []*reports.Result) {
	for _, j := range judgements {
		for _, res := range j.Standing {
			if kind(res) {
				all = append(all, res)
			}
		}
	}
	return all
}

func textFindings(b *strings.Builder, findings []reports.Finding) {
	for i, f := range findings {
		if i == 5 {
			fmt.Fprintf(b, "    … and %d further findings in %s\n", len(findings)-i, SummaryFile)
			break
		}
		fmt.Fprintf(b, "    - %s %s: %s\n", f.Kind, f.Subject, f.Detail)
	}
}

func wrap(form string, err error) error {
	if err != nil {
		return fmt.Errorf("render: %s: %w", form, err)
	}
	return nil
}

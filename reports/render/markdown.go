package render

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"plumbline/reports"
)

// Markdown writes the run for a pull request or wiki: verdict, table of
// requirements, what did not pass, conditions. Foreign text is escaped so that
// it can be neither markup nor link nor HTML nor mention.
func Markdown(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n", md(run.SUT.Name), run.Overall)
	fmt.Fprintf(&b, "%s\n\n%s: %s.\n\n", md(lead(run)), run.Count(), md(standing(run)))
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	row := func(name, value string) { fmt.Fprintf(&b, "| %s | %s |\n", name, md(value)) }
	row("System under test", strings.TrimSpace(run.SUT.Name+" "+run.SUT.Version))
	row("Profile", strings.TrimSpace(run.Profile.Name+" "+run.Profile.Version+" "+run.Profile.Purpose))
	row("Devices", modes(run))
	row("Run", run.ID)
	row("Started", date(run.Started)+", took "+span(run.Finished.Sub(run.Started)))
	row("Seed", fmt.Sprint(run.Seed))
	row("Harness", strings.TrimSpace(run.Tool.Name+" "+run.Tool.Version+" "+run.Tool.Commit))
	b.WriteString("\n## Requirements\n\n| Requirement | Verdict | Figure |\n|---|---|---|\n")
	judgements := run.Judgements()
	for _, j := range judgements {
		headline := ""
		if j.Deciding != nil {
			headline = j.Deciding.Headline
		}
		fmt.Fprintf(&b, "| **%s** %s | %s %s | %s |\n", md(j.Requirement.ID), md(titleOf(j.Requirement)),
			verdictMark(j.Verdict), md(verdictText(j.Verdict, j.Reason)), md(headline))
	}
	markdownTrouble(&b, judgements)
	markdownRemarks(&b, judgements)
	if s := deselectionSentence(run); s != "" {
		fmt.Fprintf(&b, "\n## Deselected\n\n%s\n", md(s))
	}
	if len(run.Deviations) > 0 {
		b.WriteString("\n## Deviations\n\n")
		for _, d := range run.Deviations {
			fmt.Fprintf(&b, "- **%s** %s\n", md(d.ID), md(d.Text))
		}
	}
	b.WriteString("\nResults relate only to the item tested. Not issued under accreditation.\n")
	_, err := io.WriteString(w, b.String())
	return wrap("markdown", err)
}

func markdownTrouble(b *strings.Builder, judgements []reports.Judgement) {
	for i, res := range resultsOf(judgements, troubling) {
		if i == 0 {
			b.WriteString("\n## Not passed\n")
		}
		fmt.Fprintf(b, "\n### %s %s\n\n%s\n", md(res.Requirement), md(verdictText(res.Verdict, res.Reason)), md(res.Sentence))
		markdownFindings(b, res.Findings)
		if res.Reproduce != "" {
			fmt.Fprintf(b, "\nReproduce: %s\n", codeSpan(res.Reproduce))
		}
	}
}

// markdownRemarks lists what was found beside what passed.
func markdownRemarks(b *strings.Builder, judgements []reports.Judgement) {
	for i, res := range resultsOf(judgements, remarkable) {
		if i == 0 {
			b.WriteString("\n## Remarks\n")
		}
		fmt.Fprintf(b, "\n### %s %s\n\n%s\n", md(res.Requirement), res.Verdict, md(res.Sentence))
		markdownFindings(b, res.Findings)
	}
}

func markdownFindings(b *strings.Builder, findings []reports.Finding) {
	for i, f := range findings {
		if i == 0 {
			b.WriteString("\n")
		}
		if i == 10 {
			fmt.Fprintf(b, "- and %d further findings in %s\n", len(findings)-i, SummaryFile)
			break
		}
		fmt.Fprintf(b, "- **%s** %s: %s\n", md(f.Kind), md(f.Subject), md(f.Detail))
	}
}

// mdSpecial escapes every ASCII character that CommonMark section 2.4 lets be
// escaped and that could begin markup; "@" and "#" also stop mentions and
// issue links, ":" stops bare links.
var mdSpecial = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "#", "&#35;", "|", `\|`, "~", `\~`, "!", `\!`, "$", `\$`,
	"@", "&#64;", "://", "&#58;//", "www.", "www&#46;")

// mdStart matches what would begin a list or underline a heading.
var mdStart = regexp.MustCompile(`^(?:(\d+)([.)](?:\s|$))|([-+=]))`)

// md makes foreign text inert in Markdown, also at the start of a line and
// inside a table cell.
func md(s string) string {
	return mdStart.ReplaceAllString(mdSpecial.Replace(strings.TrimLeft(s, " ")), `${1}\${2}${3}`)
}

// codeSpan prints s as code; the fence is longer than any run of backticks
// inside (CommonMark section 6.1).
func codeSpan(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + s + " " + fence
	}
	return fence + s + fence
}

// verdictMark is the sign before a verdict; the word always follows it.
func verdictMark(v reports.Verdict) string {
	switch v {
	case reports.Pass:
		return "✔"
	case reports.Fail, reports.Error:
		return "✘"
	case reports.NotApplicable, reports.NotRun:
		return "–"
	default:
		return "◐"
	}
}

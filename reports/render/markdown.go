package render

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"plumbline/reports"
)

// maxMarkdown is what a comment on GitHub holds at most (65 536 characters), less
// some; maxCell what one of its cells shows of a figure.
const (
	maxMarkdown = 60_000
	maxCell     = 300
)

// Markdown writes the run for a pull request or wiki: verdict, figures, what did not
// pass and how to repeat it, and folded the table of requirements and the conditions.
// Foreign text is escaped so that it can be neither markup nor link nor HTML nor
// mention. It is never longer than a comment may be; what is left out is said.
func Markdown(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	judgements := run.Judgements()
	head := fmt.Sprintf("# %s: %s\n\n%s\n\n%s: %s.\n\n%s", md(cut(run.SUT.Name, maxCell)), run.Overall, md(cut(lead(run), 2*maxCell)), run.Count(),
		md(cut(standing(run), 2*maxCell)), markdownFacts(run))
	tail := "\nResults relate only to the item tested. Not issued under accreditation.\n"
	parts := append(markdownTrouble(judgements), markdownRequirements(judgements))
	parts = append(parts, markdownRemarks(judgements)...)
	parts = append(parts, markdownConditions(run))
	if s := deselectionSentence(run); s != "" {
		parts = append([]string{fmt.Sprintf("\n## Deselected\n\n%s\n", md(s))}, parts...)
	}
	var b strings.Builder
	b.WriteString(head)
	for _, part := range parts {
		if b.Len()+len(part)+len(tail) > maxMarkdown {
			fmt.Fprintf(&b, "\nMore than a comment holds: the rest is in %s.\n", HTMLFile)
			break
		}
		b.WriteString(part)
	}
	b.WriteString(tail)
	_, err := io.WriteString(w, b.String())
	return wrap("markdown", err)
}

// markdownFacts are the figures at the head of the page, as a table.
func markdownFacts(run *reports.Run) string {
	names, rules, values := "|", "|", "|"
	for _, f := range facts(run) {
		names, rules = names+" "+md(f.Label)+" |", rules+"---|"
		value := md(f.Value)
		if f.Bad {
			value = "**" + value + "**"
		}
		values += " " + value + "<br>" + md(cut(f.Note, maxCell)) + " |"
	}
	return names + "\n" + rules + "\n" + values + "\n"
}

// markdownRequirements is the table of all requirements, folded: those that did not
// pass stand above it.
func markdownRequirements(judgements []reports.Judgement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Requirements\n\n<details><summary>All %d</summary>\n\n| Requirement | Verdict | Figure |\n|---|---|---|\n", len(judgements))
	for _, j := range judgements {
		headline := ""
		if j.Deciding != nil {
			headline = j.Deciding.Headline
		}
		fmt.Fprintf(&b, "| **%s** %s | %s %s | %s |\n", md(j.Requirement.ID), md(cut(titleOf(j.Requirement), maxCell)),
			verdictMark(j.Verdict), md(verdictText(j.Verdict, j.Reason)), md(cut(headline, maxCell)))
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// markdownConditions says what was tested, by what, and what was deviated from.
func markdownConditions(run *reports.Run) string {
	var b strings.Builder
	b.WriteString("\n## Conditions\n\n<details><summary>System, profile, devices, run</summary>\n\n| | |\n|---|---|\n")
	row := func(name, value string) { fmt.Fprintf(&b, "| %s | %s |\n", name, md(cut(value, 2*maxCell))) }
	row("System under test", strings.TrimSpace(run.SUT.Name+" "+run.SUT.Version))
	row("Profile", strings.TrimSpace(run.Profile.Name+" "+run.Profile.Version+" "+run.Profile.Purpose))
	row("Devices", modes(run))
	row("Run", run.ID)
	row("Started", date(run.Started)+", took "+span(run.Finished.Sub(run.Started)))
	row("Seed", fmt.Sprint(run.Seed))
	row("Harness", strings.TrimSpace(run.Tool.Name+" "+run.Tool.Version+" "+run.Tool.Commit))
	b.WriteString("\n</details>\n")
	if len(run.Deviations) > 0 {
		b.WriteString("\n## Deviations\n\n")
		for _, d := range run.Deviations {
			fmt.Fprintf(&b, "- **%s** %s\n", md(d.ID), md(cut(d.Text, 2*maxCell)))
		}
	}
	return b.String()
}

// markdownTrouble says of everything that did not pass why, with what was found and
// how to repeat it.
func markdownTrouble(judgements []reports.Judgement) (parts []string) {
	for i, res := range resultsOf(judgements, troubling) {
		var b strings.Builder
		if i == 0 {
			b.WriteString("\n## Not passed\n")
		}
		fmt.Fprintf(&b, "\n### %s %s\n\n%s\n", md(res.Requirement), md(verdictText(res.Verdict, res.Reason)), md(cut(res.Sentence, 4*maxCell)))
		markdownFindings(&b, res.Findings)
		if res.Reproduce != "" {
			fmt.Fprintf(&b, "\nReproduce: %s\n", codeSpan(res.Reproduce))
		}
		parts = append(parts, b.String())
	}
	return parts
}

// markdownRemarks lists what was found beside what passed.
func markdownRemarks(judgements []reports.Judgement) (parts []string) {
	for i, res := range resultsOf(judgements, remarkable) {
		var b strings.Builder
		if i == 0 {
			b.WriteString("\n## Remarks\n")
		}
		fmt.Fprintf(&b, "\n### %s %s\n\n%s\n", md(res.Requirement), res.Verdict, md(cut(res.Sentence, 4*maxCell)))
		markdownFindings(&b, res.Findings)
		parts = append(parts, b.String())
	}
	return parts
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
		fmt.Fprintf(b, "- **%s** %s: %s\n", md(cut(f.Kind, maxCell)), md(cut(f.Subject, maxCell)), md(cut(f.Detail, 2*maxCell)))
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

package console

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"plumbline/reports"
)

// maxFindings bounds what is repeated per failure; the report has them all.
const maxFindings = 3

// Ending is what is said about a run beside the run itself.
type Ending struct {
	Code   int
	Report string // path of the report; "" leaves the last line out
}

// Summary prints the end of a run: failures again with the command that
// repeats them, a totals line that stays the same for grep, and last of all
// where the report is.
func Summary(w io.Writer, style Style, run *reports.Run, end Ending) error {
	var b strings.Builder
	failures(&b, style, run)
	remarks(&b, style, run)
	if run.Partial != "" {
		fmt.Fprintf(&b, "\n%s this run is partial: %s\n", style.paint(yellow, "partial:"), First(run.Partial))
	}
	if d := run.Deselected; d != nil {
		fmt.Fprintf(&b, "\ndeselected by the label filter %q: %s and %s that only they judge; the run certifies nothing\n",
			Clean(d.Filter), plural(len(d.Scenarios), "scenario"), plural(len(d.Requirements), "requirement"))
	}
	if run.Informative() {
		b.WriteString("\nall of it is informative: nothing of it is required of a system, and the run certifies nothing\n")
	}
	b.WriteString("\n" + Totals(run, end.Code) + "\n")
	if end.Report != "" {
		fmt.Fprintf(&b, "report: %s\n", end.Report)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// failures repeats what kept the run from passing. Attempts that a validity
// gate voided and a later attempt replaced are in the report only.
func failures(b *strings.Builder, style Style, run *reports.Run) {
	const heading = "\nNot passed:\n"
	var text strings.Builder
	var never []string
	for _, j := range run.Judgements() {
		if j.Deciding == nil {
			never = append(never, Clean(j.Requirement.ID))
		}
		for _, r := range j.Standing {
			if r.Verdict == reports.NotRun {
				never = append(never, Clean(j.Requirement.ID))
				break
			}
			if r.Verdict != reports.Pass && r.Verdict != reports.NotApplicable {
				failure(&text, style, r)
			}
		}
	}
	if len(never) > 0 {
		fmt.Fprintf(&text, "  %s %s\n", style.verdict(reports.NotRun), strings.Join(never, ", "))
	}
	if text.Len() > 0 {
		b.WriteString(style.paint(bold, heading) + text.String())
	}
}

// remarks repeats what was found beside what passed.
func remarks(b *strings.Builder, style Style, run *reports.Run) {
	var text strings.Builder
	for _, j := range run.Judgements() {
		for _, r := range j.Standing {
			if len(r.Findings) > 0 && (r.Verdict == reports.Pass || r.Verdict == reports.NotApplicable) {
				fmt.Fprintf(&text, "  %s %-7s %s\n", style.verdict(r.Verdict), Clean(r.Requirement), First(r.Headline))
				findings(&text, r.Findings)
			}
		}
	}
	if text.Len() > 0 {
		b.WriteString(style.paint(bold, "\nRemarks:\n") + text.String())
	}
}

func failure(b *strings.Builder, style Style, r *reports.Result) {
	fmt.Fprintf(b, "  %s %-7s %s\n", style.verdict(r.Verdict), Clean(r.Requirement), First(r.Sentence))
	findings(b, r.Findings)
	if r.Reproduce != "" {
		fmt.Fprintf(b, "      again: %s\n", Clean(r.Reproduce))
	}
}

func findings(b *strings.Builder, all []reports.Finding) {
	for i, f := range all {
		if i == maxFindings {
			fmt.Fprintf(b, "      … and %d more\n", len(all)-maxFindings)
			break
		}
		fmt.Fprintf(b, "      %s %s: %s\n", Clean(f.Kind), Clean(f.Subject), Clean(f.Detail))
	}
}

// Totals is the line that scripts may grep: the counts of reports.Counts in
// their published form, the overall verdict as every report has it, and the code.
func Totals(run *reports.Run, code int) string {
	return fmt.Sprintf("totals: %s; verdict %s; exit %d", run.Count(), run.Judge(), code)
}

// Modes returns what the devices of a run were, sorted, each once.
func Modes(devices []reports.Device) []string {
	seen := map[string]bool{}
	for _, d := range devices {
		seen[string(d.Mode)] = true
	}
	modes := make([]string, 0, len(seen))
	for m := range seen {
		modes = append(modes, m)
	}
	sort.Strings(modes)
	return modes
}

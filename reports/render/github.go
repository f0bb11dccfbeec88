package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"plumbline/reports"
)

// Limits of GitHub Actions: annotations of one level that a step shows, bytes of
// its summary. What is over is dropped there without a word.
const (
	githubAnnotations = 10
	githubSummary     = 1 << 20
	githubMessage     = 4 << 10 // what is printed of one annotation
)

// notice is one thing to say about a run where code is shown.
type notice struct {
	level       string // error, warning or notice
	result      *reports.Result
	requirement reports.Requirement
}

// notices returns what a run has to say, worst first within the order of the
// catalogue: an error for what does not meet a requirement and for faults of the
// test equipment, a warning for what is open, a notice for what decides nothing
// and for remarks.
func notices(run *reports.Run) (all []notice) {
	by := map[string][]notice{}
	if run.Partial != "" {
		by["error"] = []notice{{level: "error", requirement: reports.Requirement{ID: "run", Title: "is whole"},
			result: &reports.Result{Scenario: "all", Verdict: reports.Inconclusive, Sentence: "The run is partial: " + run.Partial}}}
	}
	for _, j := range run.Judgements() {
		standing := j.Standing
		if len(standing) == 0 {
			standing = []*reports.Result{notExercised(j.Requirement)}
		}
		for _, res := range standing {
			n := notice{result: res, requirement: j.Requirement}
			switch v := res.Verdict; {
			case !troubling(res) && len(res.Findings) == 0:
				continue
			case !troubling(res), decidesNothing(j, v):
				n.level = "notice"
			case v == reports.Fail || v == reports.Error || v == reports.ConditionalFail:
				n.level = "error"
			default:
				n.level = "warning"
			}
			by[n.level] = append(by[n.level], n)
		}
	}
	return append(append(by["error"], by["warning"]...), by["notice"]...)
}

// text is what is said, in one line.
func (n notice) text() string {
	r := n.result
	parts := []string{firstOf(r.Sentence, r.Headline, n.requirement.Text)}
	for i, f := range r.Findings {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d further findings", len(r.Findings)-i))
			break
		}
		parts = append(parts, strings.TrimSpace(f.Kind+" "+f.Subject)+": "+f.Detail)
	}
	if r.Reproduce != "" && troubling(r) {
		parts = append(parts, "Again: "+r.Reproduce)
	}
	return strings.Join(parts, " | ")
}

// GitHub writes the run as workflow commands of GitHub Actions, one a line, which
// become annotations of the job, at the top of file when one is given (a path in
// the repository, for example of the descriptor). The runner shows ten of each
// level: the last of more says how many there are.
func GitHub(w io.Writer, run *reports.Run, file string) error {
	run = sanitize(run)
	where := ""
	if file != "" {
		where = "file=" + githubProperty(clean(file)) + ",line=1,"
	}
	counts, shown := map[string]int{}, map[string]int{}
	all := notices(run)
	for _, n := range all {
		counts[n.level]++
	}
	var b strings.Builder
	for _, n := range all {
		if shown[n.level]++; shown[n.level] > githubAnnotations {
			continue
		}
		title, text := caseName(n.requirement, n.result)+": "+verdictText(n.result.Verdict, n.result.Reason), n.text()
		if more := counts[n.level] - githubAnnotations; more > 0 && shown[n.level] == githubAnnotations {
			title, text = fmt.Sprintf("%d more of this kind", more+1), "GitHub shows ten annotations of each kind; "+TextFile+" and the summary of the job have them all"
		}
		fmt.Fprintf(&b, "::%s %stitle=%s::%s\n", n.level, where, githubProperty(clip(title, githubMessage)), githubData(clip(text, githubMessage)))
	}
	_, err := io.WriteString(w, b.String())
	return wrap("github", err)
}

// The escapes of @actions/core: data ends at a line end, a property at a colon or
// comma as well.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace
)

// GitHubSummary writes the run as the summary of a job: Markdown, of which at most
// room bytes are taken, 1 MiB when room is larger. What is too long ends at a line
// and says so; what has no room at all is not written.
func GitHubSummary(w io.Writer, run *reports.Run, room int) error {
	var buf bytes.Buffer
	if err := Markdown(&buf, run); err != nil {
		return err
	}
	text := buf.Bytes()
	if room = min(room, githubSummary); len(text) > room {
		const rest = "\nThe rest is in " + MarkdownFile + " of the run directory: this summary may not be longer.\n"
		end := bytes.LastIndexByte(text[:max(room-len(rest), 0)], '\n')
		if end < 0 {
			return nil
		}
		text = append(text[:end+1], rest...)
	}
	_, err := w.Write(text)
	return wrap("github summary", err)
}

// clip shortens text to at most so many bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}

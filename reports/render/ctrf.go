package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"plumbline/reports"
)

// ctrfVersion is the version of the CTRF specification (ctrf.io) that is written.
const ctrfVersion = "0.1.0"

type ctrfReport struct {
	Format    string      `json:"reportFormat"`
	Version   string      `json:"specVersion"`
	Timestamp time.Time   `json:"timestamp"`
	Results   ctrfResults `json:"results"`
}

type ctrfResults struct {
	Tool struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	} `json:"tool"`
	Summary     map[string]int64 `json:"summary"`
	Tests       []ctrfTest       `json:"tests"`
	Environment struct {
		App     string            `json:"appName,omitempty"`
		Version string            `json:"appVersion,omitempty"`
		Extra   map[string]string `json:"extra"`
	} `json:"environment"`
}

type ctrfTest struct {
	Name     string            `json:"name"`
	Status   string            `json:"status"`
	Duration int64             `json:"duration"`
	Suite    []string          `json:"suite"`
	Message  string            `json:"message,omitempty"`
	Raw      string            `json:"rawStatus"`
	Retries  int               `json:"retries,omitempty"`
	Attempts []ctrfAttempt     `json:"retryAttempts,omitempty"`
	Stdout   []string          `json:"stdout,omitempty"`
	Extra    map[string]string `json:"extra,omitempty"`
}

type ctrfAttempt struct {
	Attempt  int    `json:"attempt"`
	Status   string `json:"status"`
	Duration int64  `json:"duration"`
	Message  string `json:"message,omitempty"`
}

// CTRF writes the run in the Common Test Report Format: a test per result that
// stands and one per requirement without results. FAIL and CONDITIONAL FAIL are
// failed, N/A and NOT RUN skipped, other is the rest: INCONCLUSIVE, ERROR and
// CONDITIONAL PASS (nothing was demonstrated), and what did not pass of a
// requirement that is informative. A run that does not pass has a failed test,
// and one that passes has none. rawStatus is the verdict itself. Attempts
// that a validity gate voided are the retryAttempts of their repetition. Times
// are in milliseconds. Ids and figures are in extra, as in JUnit's properties, the
// sentence and what was found in stdout, as in its system-out.
func CTRF(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	doc := ctrfReport{Format: "CTRF", Version: ctrfVersion, Timestamp: run.Finished}
	out := &doc.Results
	out.Tests = []ctrfTest{}
	out.Tool.Name, out.Tool.Version = firstOf(run.Tool.Name, "plumbline"), run.Tool.Version
	out.Summary = map[string]int64{"tests": 0, "passed": 0, "failed": 0, "skipped": 0, "pending": 0, "other": 0,
		"start": run.Started.UnixMilli(), "stop": run.Finished.UnixMilli()}
	out.Environment.App, out.Environment.Version = run.SUT.Name, run.SUT.Version
	out.Environment.Extra = properties(runProperties(run))
	for _, j := range run.Judgements() {
		if j.Deciding == nil {
			out.add(j, notExercised(j.Requirement))
		}
		for _, res := range j.Standing {
			out.add(j, res)
		}
	}
	for _, left := range deselected(run) {
		out.add(left, left.Deciding)
	}
	if run.Partial != "" { // keeps a partial run red in every viewer
		out.count(ctrfTest{Name: partialCase, Status: "failed", Suite: []string{"run"}, Raw: "PARTIAL", Message: run.Partial})
	}
	if v := run.Judge(); v != reports.Pass && out.Summary["failed"] == 0 {
		out.count(ctrfTest{Name: overallCase, Status: "failed", Suite: []string{"run"}, Raw: v.String(), Message: lead(run)})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return wrap("ctrf", enc.Encode(doc))
}

// add appends the test of one standing result with the attempts it replaced.
func (r *ctrfResults) add(j reports.Judgement, res *reports.Result) {
	t := ctrfTest{Name: caseName(j.Requirement, res), Status: ctrfStatus(j, res.Verdict), Duration: res.Duration.Milliseconds(),
		Suite: []string{j.Requirement.Family()}, Message: caseMessage(j.Requirement, res),
		Raw: verdictText(res.Verdict, res.Reason), Extra: properties(resultProperties(j.Requirement, res))}
	for line := range strings.Lines(caseOutput(res)) {
		t.Stdout = append(t.Stdout, strings.TrimSuffix(line, "\n"))
	}
	t.Extra["findings"] = fmt.Sprint(len(res.Findings))
	for _, old := range j.Superseded {
		if old.Scenario == res.Scenario {
			t.Attempts = append(t.Attempts, ctrfAttempt{Attempt: max(old.Attempt, 1), Status: ctrfStatus(j, old.Verdict),
				Duration: old.Duration.Milliseconds(), Message: caseMessage(j.Requirement, old)})
		}
	}
	t.Retries = len(t.Attempts)
	r.count(t)
}

func (r *ctrfResults) count(t ctrfTest) {
	r.Tests = append(r.Tests, t)
	r.Summary["tests"]++
	r.Summary[t.Status]++
}

func ctrfStatus(j reports.Judgement, v reports.Verdict) string {
	switch {
	case v == reports.Pass:
		return "passed"
	case v == reports.NotApplicable || v == reports.NotRun:
		return "skipped"
	case decidesNothing(j, v):
		return "other"
	case v == reports.Fail || v == reports.ConditionalFail:
		return "failed"
	default:
		return "other"
	}
}

func properties(list []junitProperty) map[string]string {
	out := make(map[string]string, len(list))
	for _, p := range list {
		out[p.Name] = p.Value
	}
	return out
}

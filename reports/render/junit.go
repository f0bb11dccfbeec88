package render

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"plumbline/reports"
)

// The elements of the format, as the schema of Jenkins' xUnit plugin has them
// (junit-10.xsd): properties belong to a suite, never to a case. So each result is
// a suite of its own, of one case, and its properties are the suite's.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitOutcome `xml:"failure"`
	Error   *junitOutcome `xml:"error"`
	Skipped *junitOutcome `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes a test suite about the run and one for each result, with a test
// case each; a requirement without results has one, too, also where the user left
// it out. FAIL and CONDITIONAL FAIL are failures, INCONCLUSIVE, ERROR and
// CONDITIONAL PASS are errors (nothing was demonstrated). Skipped are N/A, NOT RUN,
// and what did not pass of a requirement that is informative: it decides nothing. A
// run that does not pass has a failure or an error, and one that passes has none.
// Ids and figures are properties of the suites.
func JUnit(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	whole := junitSuite{
		Name:       "plumbline " + run.Profile.Name,
		Time:       seconds(run.Finished.Sub(run.Started)),
		Timestamp:  timestamp(run.Started),
		Properties: runProperties(run),
	}
	var suites []junitSuite
	for _, j := range run.Judgements() {
		if len(j.Standing)+len(j.Superseded) == 0 {
			suites = append(suites, suiteOf(j, notExercised(j.Requirement), false))
		}
		for _, res := range j.Standing {
			suites = append(suites, suiteOf(j, res, false))
		}
		for _, res := range j.Superseded {
			suites = append(suites, suiteOf(j, res, true))
		}
	}
	for _, left := range deselected(run) {
		suites = append(suites, suiteOf(left, left.Standing[0], false))
	}
	doc := junitSuites{Name: whole.Name, Time: whole.Time}
	doc.count(suites...)
	if run.Partial != "" {
		whole.fault(partialCase, "PARTIAL", run.Partial)
	}
	if v := run.Judge(); v != reports.Pass && doc.Failures+doc.Errors+whole.Errors == 0 {
		whole.fault(overallCase, v.String(), lead(run))
	}
	doc.count(whole)
	doc.Suites = append([]junitSuite{whole}, suites...)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return wrap("junit", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return wrap("junit", err)
	}
	_, err := io.WriteString(w, "\n")
	return wrap("junit", err)
}

func (d *junitSuites) count(suites ...junitSuite) {
	for _, s := range suites {
		d.Tests += s.Tests
		d.Failures += s.Failures
		d.Errors += s.Errors
	}
}

// suiteOf returns the suite of one result. A superseded attempt is shown as
// skipped: it was voided by a validity gate and the repetition counts.
func suiteOf(j reports.Judgement, res *reports.Result, superseded bool) junitSuite {
	req := j.Requirement
	c := junitCase{Class: "plumbline." + req.Family(), Name: caseName(req, res), Time: seconds(res.Duration), Out: caseOutput(res)}
	s := junitSuite{Tests: 1, Time: c.Time, Timestamp: timestamp(res.Started), Properties: resultProperties(req, res)}
	outcome := &junitOutcome{Message: caseMessage(req, res), Type: verdictText(res.Verdict, res.Reason), Text: res.Sentence}
	switch {
	case superseded:
		outcome.Message = "voided by a validity gate and repeated: " + outcome.Message
		c.Name += fmt.Sprintf(" attempt %d", res.Attempt)
		c.Skipped, s.Skipped = outcome, 1
	case res.Verdict == reports.Pass:
	case res.Verdict == reports.NotApplicable || res.Verdict == reports.NotRun:
		c.Skipped, s.Skipped = outcome, 1
	case decidesNothing(j, res.Verdict):
		outcome.Message = "informative, decides nothing: " + outcome.Message
		c.Skipped, s.Skipped = outcome, 1
	case res.Verdict == reports.Fail || res.Verdict == reports.ConditionalFail:
		c.Failure, s.Failures = outcome, 1
	default:
		c.Error, s.Errors = outcome, 1
	}
	s.Name, s.Cases = c.Name, []junitCase{c}
	return s
}

// decidesNothing reports whether the overall verdict is the same without a result of
// that verdict: see reports.Run.Judge.
func decidesNothing(j reports.Judgement, v reports.Verdict) bool {
	return !j.Decides && v != reports.Error
}

// fault adds a case about the run as a whole, which keeps it red in every viewer.
func (s *junitSuite) fault(name, kind, why string) {
	s.Tests++
	s.Errors++
	s.Cases = append(s.Cases, junitCase{Class: "plumbline.run", Name: name, Time: "0.000",
		Error: &junitOutcome{Message: why, Type: kind, Text: why}})
}

// Tests of the run as a whole: what a partial run fails, and what a run fails
// that does not pass although none of its tests failed.
const (
	partialCase = "run is whole"
	overallCase = "run passes"
)

// deselected returns a judgement, with a result that stands for it, for each
// requirement that the user left out.
func deselected(run *reports.Run) (all []reports.Judgement) {
	if run.Deselected == nil {
		return nil
	}
	why := fmt.Sprintf("deselected by the label filter %q", run.Deselected.Filter)
	for _, req := range run.Deselected.Requirements {
		res := &reports.Result{Requirement: req.ID, Scenario: "deselected", Headline: why, Sentence: req.ID + ": not run: " + why + "."}
		all = append(all, reports.Judgement{Requirement: req, Deciding: res, Standing: []*reports.Result{res}})
	}
	return all
}

// notExercised stands for the result that a requirement does not have.
func notExercised(req reports.Requirement) *reports.Result {
	return &reports.Result{Requirement: req.ID, Scenario: "not exercised"}
}

func caseName(req reports.Requirement, res *reports.Result) string {
	return strings.TrimSpace(req.ID + " " + req.Title + " [" + res.Scenario + "]")
}

func caseMessage(req reports.Requirement, res *reports.Result) string {
	return firstOf(res.Headline, res.Sentence, req.Text)
}

func runProperties(run *reports.Run) []junitProperty {
	filter := ""
	if run.Deselected != nil {
		filter = run.Deselected.Filter
	}
	return []junitProperty{
		{"run", run.ID}, {"overall", run.Overall.String()}, {"sut", strings.TrimSpace(run.SUT.Name + " " + run.SUT.Version)},
		{"profile", strings.TrimSpace(run.Profile.Name + " " + run.Profile.Version)}, {"profile.sha256", run.Profile.Digest},
		{"seed", strconv.FormatUint(run.Seed, 10)}, {"devices", modes(run)},
		{"certifying", strconv.FormatBool(run.Certifying)}, {"partial", run.Partial}, {"label_filter", filter},
	}
}

func resultProperties(req reports.Requirement, res *reports.Result) []junitProperty {
	props := []junitProperty{
		{"requirement", req.ID}, {"class", string(req.Class)}, {"scenario", res.Scenario},
		{"verdict", res.Verdict.String()}, {"attempt", strconv.Itoa(res.Attempt)},
	}
	if res.Reason != "" {
		props = append(props, junitProperty{"reason", string(res.Reason)})
	}
	if m := res.Measurement; m != nil {
		props = append(props,
			junitProperty{"unit", m.Unit}, junitProperty{"estimate", exact(float64(m.Estimate))},
			junitProperty{"lower", exact(float64(m.Lower))}, junitProperty{"upper", exact(float64(m.Upper))},
			junitProperty{"confidence", exact(m.Confidence)}, junitProperty{"limit", exact(float64(m.Limit))},
			junitProperty{"guard", exact(m.Guard)}, junitProperty{"n", strconv.FormatInt(m.N, 10)},
			junitProperty{"n_eff", strconv.FormatInt(m.NEff, 10)}, junitProperty{"events", strconv.FormatInt(m.Events, 10)})
	}
	if res.Reproduce != "" {
		props = append(props, junitProperty{"reproduce", res.Reproduce})
	}
	return props
}

func caseOutput(res *reports.Result) string {
	var b strings.Builder
	if res.Sentence != "" {
		b.WriteString(res.Sentence + "\n")
	}
	for _, f := range res.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Kind, f.Subject, f.Detail)
		for _, line := range f.Context {
			b.WriteString("    " + line + "\n")
		}
	}
	return b.String()
}

// exact prints a figure without rounding, for machines.
func exact(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case math.IsInf(v, 0):
		return map[bool]string{true: "+Inf", false: "-Inf"}[v > 0]
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// seconds prints a span as the schema has it, which knows none below zero.
func seconds(d time.Duration) string { return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 3, 64) }

// timestamp prints an instant in ISO 8601, UTC; "" for none.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

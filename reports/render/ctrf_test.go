package render

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/reports"
)

// ctrfSchema is the published schema of the format: see testdata/schema.
var ctrfSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	f, err := os.Open(filepath.Join("testdata", "schema", "ctrf.schema.json"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("ctrf.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("ctrf.json")
})

// ctrfOf renders the run, holds it against the schema and reads it back.
func ctrfOf(t *testing.T, run *reports.Run) ctrfReport {
	t.Helper()
	compiled, err := ctrfSchema()
	if err != nil {
		t.Fatal(err)
	}
	text := rendered(t, CTRF, run)
	noHidden(t, "ctrf", text)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(doc); err != nil {
		t.Error(err)
	}
	var out ctrfReport
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCTRFMapsVerdicts(t *testing.T) {
	run := sampleMixed()
	out := ctrfOf(t, run).Results
	status := map[string]string{
		"PASS": "passed", "FAIL": "failed", "CONDITIONAL FAIL": "failed", "N/A": "skipped", "NOT RUN": "skipped",
		"CONDITIONAL PASS": "other", "ERROR": "other", "INCONCLUSIVE": "other",
	}
	seen, counts := map[string]bool{}, map[string]int64{"tests": int64(len(out.Tests))}
	for _, c := range out.Tests {
		verdict, _, _ := strings.Cut(c.Raw, "(")
		if want := status[verdict]; c.Status != want {
			t.Errorf("%s: %s is %q, want %q", c.Name, c.Raw, c.Status, want)
		}
		if c.Message == "" || c.Extra["requirement"] == "" || !strings.HasPrefix(c.Name, c.Extra["requirement"]) {
			t.Errorf("test without message or requirement: %+v", c)
		}
		seen[verdict] = true
		counts[c.Status]++
	}
	if len(seen) != len(status) {
		t.Errorf("%d of %d verdicts were seen: %v", len(seen), len(status), seen)
	}
	for name, n := range counts {
		if out.Summary[name] != n {
			t.Errorf("summary says %d %s, the tests are %d", out.Summary[name], name, n)
		}
	}
	if ms := run.Finished.UnixMilli() - run.Started.UnixMilli(); out.Summary["stop"]-out.Summary["start"] != ms {
		t.Errorf("summary runs from %d to %d, want %d ms", out.Summary["start"], out.Summary["stop"], ms)
	}
}

// TestCTRFAttempts: a voided attempt is no test of its own, and no failure.
func TestCTRFAttempts(t *testing.T) {
	run := sampleCertified()
	before := ctrfOf(t, run).Results.Summary
	void, again := run.Results[0], run.Results[0]
	void.Verdict, void.Reason, void.Headline = reports.Inconclusive, reports.ReasonRig, "a noisy rig"
	again.Attempt = void.Attempt + 1
	run.Results = append([]reports.Result{void, again}, run.Results[1:]...)
	out := ctrfOf(t, run).Results
	c := out.Tests[0]
	if out.Summary["tests"] != before["tests"] || out.Summary["passed"] != before["passed"] || c.Status != "passed" || c.Retries != 1 || len(c.Attempts) != 1 {
		t.Fatalf("summary %v, want %v; the first is %+v", out.Summary, before, c)
	}
	if a := c.Attempts[0]; a.Attempt != void.Attempt || a.Status != "other" || a.Message != "a noisy rig" {
		t.Errorf("the voided attempt is %+v", a)
	}
}

func TestCTRFOfOddRuns(t *testing.T) {
	partial := sampleCertified()
	partial.Partial = "interrupted"
	partial.Overall = partial.Judge()
	if out := ctrfOf(t, partial).Results; out.Summary["failed"] != 1 || out.Environment.Extra["partial"] != "interrupted" {
		t.Errorf("a partial run of passes has summary %v", out.Summary)
	}
	if out := ctrfOf(t, &reports.Run{}).Results; out.Summary["tests"] != 1 || out.Summary["failed"] != 1 {
		t.Errorf("a run of nothing passes: %v", out.Tests)
	}
	for n := range hostile {
		ctrfOf(t, poisoned(n))
	}
}

package render

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// readBack parses JUnit the way a CI server does.
type readBack struct {
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Suites   []suiteBack `xml:"testsuite"`
	Cases    []caseBack  `xml:"-"` // of all suites
}

type suiteBack struct {
	Name       string `xml:"name,attr"`
	Skipped    int    `xml:"skipped,attr"`
	Properties []struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	} `xml:"properties>property"`
	Cases []caseBack `xml:"testcase"`
}

type caseBack struct {
	Name                    string `xml:"name,attr"`
	Class                   string `xml:"classname,attr"`
	Failure, Error, Skipped *struct {
		Type string `xml:"type,attr"`
	}
}

func junitOf(t *testing.T, run *reports.Run) readBack {
	t.Helper()
	text := rendered(t, JUnit, run)
	// encoding/xml matches element names exactly, the format has them in lower case.
	text = strings.NewReplacer("<failure ", "<Failure ", "</failure>", "</Failure>", "<error ", "<Error ", "</error>", "</Error>",
		"<skipped ", "<Skipped ", "</skipped>", "</Skipped>").Replace(text)
	var out readBack
	if err := xml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Suites {
		out.Cases = append(out.Cases, s.Cases...)
	}
	return out
}

func TestJUnitMapsVerdicts(t *testing.T) {
	kinds := map[string]string{}
	out := junitOf(t, sampleMixed())
	counts := map[string]int{}
	for _, c := range out.Cases {
		kind := "passed"
		switch {
		case c.Failure != nil:
			kind = "failure " + c.Failure.Type
		case c.Error != nil:
			kind = "error " + c.Error.Type
		case c.Skipped != nil:
			kind = "skipped " + c.Skipped.Type
		}
		id, _, _ := strings.Cut(c.Name, " ")
		if _, known := kinds[id]; !known {
			kinds[id] = kind
		}
		word, _, _ := strings.Cut(kind, " ")
		counts[word]++
		if c.Class != "plumbline."+id[:3] {
			t.Errorf("%s has class %q", id, c.Class)
		}
	}
	for id, want := range map[string]string{
		"LAT-01": "passed", "LAT-02": "error CONDITIONAL PASS", "LAT-03": "failure FAIL", "ORD-02": "error ERROR", "REC-02": "skipped NOT RUN",
		"REC-03": "error INCONCLUSIVE(N)", "SEC-05": "skipped N/A", "SEC-10": "failure CONDITIONAL FAIL",
	} {
		if kinds[id] != want {
			t.Errorf("%s is %q, want %q", id, kinds[id], want)
		}
	}
	skipped := 0
	for _, s := range out.Suites {
		skipped += s.Skipped
	}
	if out.Tests != len(out.Cases) || out.Failures != counts["failure"] || out.Errors != counts["error"] || skipped != counts["skipped"] {
		t.Errorf("totals %d/%d/%d/%d, cases say %v", out.Tests, out.Failures, out.Errors, skipped, counts)
	}
	if out.Tests != 19 { // 18 requirements and the voided first attempt
		t.Errorf("%d cases, want 19", out.Tests)
	}
}

func TestJUnitCarriesFigures(t *testing.T) {
	for _, c := range junitOf(t, sampleCertified()).Suites {
		if !strings.HasPrefix(c.Name, "LAT-03") {
			continue
		}
		got := map[string]string{}
		for _, p := range c.Properties {
			got[p.Name] = p.Value
		}
		for name, want := range map[string]string{"requirement": "LAT-03", "verdict": "PASS", "estimate": "187.4", "limit": "250", "unit": "ms", "n_eff": "88100", "confidence": "0.95"} {
			if got[name] != want {
				t.Errorf("property %s = %q, want %q", name, got[name], want)
			}
		}
		return
	}
	t.Fatal("no suite of LAT-03")
}

// TestJUnitKeepsTheSchema holds every kind of run, the hostile ones too, against
// the schema of Jenkins' xUnit plugin.
func TestJUnitKeepsTheSchema(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Fatalf("%v: make deps-test installs it (Debian package libxml2-utils)", err)
	}
	partial, backwards := sampleCertified(), sampleMixed()
	partial.Partial = "interrupted"
	partial.Overall = partial.Judge()
	backwards.Finished, backwards.Results[0].Duration = backwards.Started.Add(-time.Hour), -time.Second
	dir := t.TempDir()
	args := []string{"--noout", "--nonet", "--schema", filepath.Join("testdata", "schema", "junit-10.xsd")}
	for i, run := range append([]*reports.Run{sampleMixed(), sampleCertified(), sampleSelected(), partial, backwards, {}}, allPoisoned()...) {
		file := filepath.Join(dir, fmt.Sprintf("junit-%d.xml", i))
		if err := os.WriteFile(file, []byte(rendered(t, JUnit, run)), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(t.Context(), lint, args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	wrong := filepath.Join(dir, "wrong.xml")
	text := strings.Replace(rendered(t, JUnit, sampleMixed()), "<testcase ", "<testcase><properties></properties></testcase><testcase ", 1)
	if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), lint, append(args[:4:4], wrong)...).Run(); err == nil {
		t.Error("the schema takes properties of a test case: it is not the one that is meant")
	}
}

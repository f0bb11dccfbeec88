package scenarios_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// TestASystemWithoutAPageIsNotAskedForIt: all that is about a page, informative or not, is N/A for every
// bridge of other people that lies here, which names the reason, and nothing of it is an error.
func TestASystemWithoutAPageIsNotAskedForIt(t *testing.T) {
	descriptors, err := filepath.Glob(filepath.Join("peers", "*.yaml"))
	if err != nil || len(descriptors) < 7 {
		t.Fatalf("%d descriptors (%v)", len(descriptors), err)
	}
	for _, file := range descriptors {
		t.Run(filepath.Base(file), func(t *testing.T) {
			onceEach(t)
			p, err := spec.Catalogue().Load("web")
			if err != nil {
				t.Fatal(err)
			}
			d, err := sut.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			run, err := spec.Execute(t.Context(), spec.Options{Profile: p, SUT: sut.Options{Descriptor: d, Binary: file}, LabelFilter: "browser", Dir: t.TempDir(), ID: "r", Tool: reports.Tool{Name: "test"}})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, res := range run.Results {
				ids = append(ids, res.Requirement)
				if res.Verdict != reports.NotApplicable || !strings.Contains(res.Sentence, "viewer.page") {
					t.Errorf("%s: %s", res.Verdict, res.Sentence)
				}
			}
			if slices.Sort(ids); !slices.Equal(ids, []string{"DEL-08", "LAT-05", "LAT-06", "REC-08", "REC-09", "SEC-12", "SEC-13", "SEC-14"}) {
				t.Errorf("judged were %v", ids)
			}
		})
	}
}

package scenarios_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// TestClusterOutlivesItsParts kills a bridge of three and lets one end in good order: real processes behind a real nginx, a single
// cycle each. How long that takes is for the profile "cluster" on a quiet machine; here nothing may be lost, doubled or out of order.
// A relay that goes away is for that profile as well: bridges that have no processor for three seconds then declare a loss.
func TestClusterOutlivesItsParts(t *testing.T) {
	once(t, "cluster", "bridged-cluster.yaml", "{devices: 6, rate: 600 /s, viewers: 6, window: 300 ms, cycles: 1, hold: 500 ms, drain: 30 s}", "node-killed || node-drained",
		"SCA-01", "SCA-02", "SCA-12", "SCA-13")
}

// TestACrowdOutlivesItsBalancer restarts a real nginx with as many workers as a crowd takes, before three bridges. What is a crowd, and
// how long it takes to come back, is for the profile "crowd" on a quiet machine; here nothing may be lost, doubled or out of order.
func TestACrowdOutlivesItsBalancer(t *testing.T) {
	once(t, "crowd", "bridged-cluster-crowd.yaml", "{devices: 6, rate: 120 /s, viewers: 24, window: 300 ms, cycles: 1, hold: 500 ms, drain: 30 s}", "reconnect-storm",
		"SCA-14", "SCA-15", "SCA-16")
}

// once runs scenarios of a profile of several bridges with another load, once, by limits that no busy machine exceeds. Each of the
// requirements must have been judged, and none have failed.
func once(t *testing.T, profile, peer, load, filter string, asked ...string) {
	t.Helper()
	for _, program := range []string{"redis-server", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: make deps-test installs it", program)
		}
	}
	binary := builtBridged(t)
	p, err := spec.Catalogue().Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(  cluster: *)\{.*\}$`).ReplaceAllString(string(p.Source), "${1}"+load)
	text = regexp.MustCompile(`(attempts: )\d`).ReplaceAllString(text, "${1}1")
	text = regexp.MustCompile(`(SCA-(?:12|13|15|16): \{limit: )\d+ s`).ReplaceAllString(text, "${1}600 s")
	text = regexp.MustCompile(`(SCA-\d\d: .*samples: )\d\d+`).ReplaceAllString(text, "${1}300")
	text = regexp.MustCompile(`(SCA-12: .*samples: )\d+`).ReplaceAllString(text, "${1}2")
	text = regexp.MustCompile(`(SCA-15: .*samples: )\d+`).ReplaceAllString(text, "${1}1")
	if p, err = spec.Catalogue().Parse("shortly.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	descriptor, err := sut.Load(filepath.Join("peers", peer))
	if err != nil {
		t.Fatal(err)
	}
	onceEach(t)
	run, err := spec.Execute(t.Context(), spec.Options{
		Profile: p, SUT: sut.Options{Binary: binary, Descriptor: descriptor}, LabelFilter: filter,
		Dir: t.TempDir(), ID: "r", Tool: reports.Tool{Name: "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]reports.Verdict{}
	for _, res := range run.Results {
		judged[res.Requirement] = res.Verdict
		switch res.Verdict {
		case reports.Pass, reports.NotRun:
		case reports.Fail, reports.Error:
			t.Errorf("%s: %s", res.Verdict, res.Sentence)
		default: // the machine is shared
			t.Log(res.Sentence)
		}
	}
	for _, id := range asked {
		if _, told := judged[id]; !told || judged[id] == reports.NotRun {
			t.Errorf("%s was not judged: %v", id, judged)
		}
	}
}

// TestOneBridgeIsNoCluster: what only several bridges can be asked is N/A for one, and the reason names what it lacks.
func TestOneBridgeIsNoCluster(t *testing.T) {
	p, err := spec.Catalogue().Load("cluster")
	if err != nil {
		t.Fatal(err)
	}
	onceEach(t)
	run, err := spec.Execute(t.Context(), spec.Options{Profile: p, SUT: sut.Options{Binary: builtBridged(t)}, Dir: t.TempDir(), ID: "r", Tool: reports.Tool{Name: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Results) < 11 {
		t.Errorf("%d results", len(run.Results))
	}
	for _, res := range run.Results {
		if want := regexp.MustCompile(`\((cluster|cluster\..*)\)`); res.Verdict != reports.NotApplicable || !want.MatchString(res.Sentence) {
			t.Errorf("%s: %s, want N/A for a part of the descriptor: %s", res.Requirement, res.Verdict, res.Sentence)
		}
	}
}

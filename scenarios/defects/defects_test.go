package defects_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"plumbline/harness/spec"
	"plumbline/scenarios/defects"

	_ "plumbline/scenarios"
)

// Every fault that a requirement says it kills is seeded for that requirement;
// and every defect is named by the requirement that must kill it and run by a
// scenario of it.
func TestFaultsRequirementsAndDefectsAgree(t *testing.T) {
	for _, known := range spec.Catalogue().Requirements {
		for _, fault := range known.Requirement.Faults {
			seeded := slices.ContainsFunc(defects.All(), func(d defects.Defect) bool {
				return d.CoversFault() == fault && d.Kills == known.Requirement.ID
			})
			if !seeded {
				t.Errorf("%s: requirement %s kills it, and no defect seeds it for that", fault, known.Requirement.ID)
			}
		}
	}
	seen := map[string]bool{}
	for _, d := range defects.All() {
		if seen[d.ID] || d.Title == "" || d.Stimulus == "" {
			t.Errorf("%s: twice, or incomplete: %+v", d.ID, d)
		}
		seen[d.ID] = true
		known, ok := spec.Requirement(d.Kills)
		if !ok || !slices.Contains(known.Requirement.Faults, d.CoversFault()) {
			t.Errorf("%s: requirement %q does not say that it kills %s", d.ID, d.Kills, d.CoversFault())
		}
	}
	for _, c := range defects.Controls() {
		if seen[c.ID] || c.Title == "" {
			t.Errorf("control %s: twice, or without a title", c.ID)
		}
		seen[c.ID] = true
	}
}

// unproven are the requirements that no seeded defect kills, and why. All others
// name one: what has never failed on purpose proves nothing by a PASS.
var unproven = map[string]string{
	"APP-01": "of each approach by itself DEL-01, DEL-05 and DEL-06 ask the same, and are proven",
	"APP-02": "a server that refuses or drops sessions of a crowd is what it finds; hand-made facts fail it",
	"SCA-03": "one oracle judges it and SCA-01, which is proven; hand-made histories fail it",
	"SCA-04": "as SCA-03", "SCA-05": "as SCA-03", "SCA-06": "as SCA-03", "SCA-07": "as SCA-03",
	"SCA-08": "as SCA-03", "SCA-09": "as SCA-03", "SCA-10": "as SCA-03", "SCA-11": "as SCA-03",
	"SCA-12": "REC-01 and REC-04 ask the same of one bridge, and are proven; hand-made histories fail it",
	"SCA-13": "RES-04 asks the same within one bridge, and is proven; hand-made histories fail it",
	"SCA-14": "as SCA-03",
	"SCA-15": "as SCA-12", "SCA-16": "as SCA-13",
	"CAP-01": "its scenario is itself a comparison of what is claimed with what is done",
	"RIG-01": "it is of the harness: a freeze of known length is the defect",
	"SEC-10": "each of its vectors is a refusal that must be there",
}

func TestNoRequirementIsAnOrphan(t *testing.T) {
	for _, known := range spec.Catalogue().Requirements {
		r := known.Requirement
		why, exempt := unproven[r.ID]
		switch {
		case len(r.Faults) == 0 && !exempt:
			t.Errorf("%s: no defect is seeded for it; add one to scenarios/defects, or say here why there can be none", r.ID)
		case len(r.Faults) > 0 && exempt:
			t.Errorf("%s: it is proven by %v; take it out of here (%s)", r.ID, r.Faults, why)
		}
	}
}

func TestEveryDefectHasAScenarioOfItsRequirementAndAProfile(t *testing.T) {
	for _, d := range defects.All() {
		p, err := d.Profile()
		if err != nil {
			t.Errorf("%s: %v", d.ID, err)
			continue
		}
		selected, err := spec.List(p, d.Scenario)
		if err != nil || len(selected) != 1 || !slices.Contains(selected[0].Requirements, d.Kills) {
			t.Errorf("%s: scenario %q does not judge %s alone: %d selected, %v", d.ID, d.Scenario, d.Kills, len(selected), err)
		}
	}
}

// The README shows what is stored, and what is stored is of the defects as they
// are. Which of them are caught is what make prove decides, not a test of minutes.
func TestTheTrackRecordIsOfThisTable(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := defects.WithTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(text) {
		t.Error("README.md does not show the stored result; run go generate ./scenarios/defects")
	}
	r, err := defects.Stored()
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, o := range r.Outcomes {
		have = append(have, o.ID)
		if now := defects.Untried(o.ID, ""); !o.Same(now) {
			t.Errorf("%s: the stored trial was of another form of it (%q, under %q; now %q, under %q); run make prove", o.ID, o.Title, o.Under, now.Title, now.Under)
		}
		// Trials that name no commit are older than the twins.
		if o.Status == defects.Killed && o.Without == "" && o.Commit != "" {
			t.Errorf("%s: killed, and nothing is stored of the same trial without it", o.ID)
		}
	}
	if !slices.Equal(defects.IDs(), have) {
		t.Errorf("stored are\n%v, there are\n%v; run make prove", have, defects.IDs())
	}
	for _, s := range defects.Sweeps() { // a record that was begun anew has none
		if !slices.ContainsFunc(r.Limits, func(l defects.Limit) bool { return l.ID == s.ID }) {
			t.Errorf("%s: no limit of detection is stored; run make prove PROVE=--limits", s.ID)
		}
	}
}

// programs builds what a trial starts.
func programs(t *testing.T) defects.Programs {
	t.Helper()
	dir := t.TempDir()
	with := defects.Programs{Flawed: filepath.Join(dir, "flawed"), Bridged: filepath.Join(dir, "bridged")}
	for path, into := range map[string]string{"plumbline/scenarios/defects/flawed": with.Flawed, "plumbline/bridge/cmd/bridged": with.Bridged} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", into, path)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", path, err, out)
		}
	}
	return with
}

// A quick part of the proof: one defect for each way into the relay, and the
// relay without a defect, which must raise no alarm. make prove runs the rest.
func TestSomeDefectsAreCaughtAndNoneIsNot(t *testing.T) {
	if testing.Short() {
		t.Skip("runs scenarios against a real bridge for half a minute; leave -short out")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the harness stops processes by signals that Windows does not have")
	}
	onceEach(t)
	with := programs(t)
	for _, id := range []string{"F08", "F44", "F61"} {
		d, ok := defects.Find(id)
		if !ok {
			t.Fatalf("defect %s is gone; choose another", id)
		}
		out, err := defects.Try(t.Context(), with, d, filepath.Join(t.TempDir(), id), 1)
		if err != nil || out.Status != defects.Killed {
			t.Errorf("%s (%s): %s, fired %d times: %s (%v)", id, d.Kills, out.Status, out.Fired, out.Why, err)
		}
	}
	none, _ := defects.FindControl("none")
	none.Scenario = []string{"tenants", "client", "halfopen"} // the last fails where settings of the scenario do not reach the bridge
	out, err := defects.Hold(t.Context(), with, none, filepath.Join(t.TempDir(), "none"), 1)
	if err != nil || out.Status == defects.FalseFail || out.Status == defects.Broken {
		t.Errorf("without a defect: %s: %s (%v)", out.Status, out.Why, err)
	}
}

// onceEach lets a test call Ginkgo under go test -count: Ginkgo refuses that
// flag, because it cannot tell that its tree is built anew each time.
func onceEach(t *testing.T) {
	t.Helper()
	count := flag.Lookup("test.count").Value
	was := count.String()
	if err := count.Set("1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := count.Set(was); err != nil {
			t.Error(err)
		}
	})
}

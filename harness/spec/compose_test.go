package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// An outcome keeps its figures, also NaN and infinity, on its way through
// Ginkgo's report, in this process and out of another one.
func TestOutcomeSurvivesTheReport(t *testing.T) {
	out := Outcome{
		Scenario: "s", Unavailable: "gone",
		Results: []reports.Result{{Requirement: "LAT-01", Verdict: reports.Fail, Sentence: "late", Attempt: 2,
			Measurement: &reports.Measurement{Estimate: reports.Float(math.Inf(1)), Lower: reports.Float(math.NaN())}}},
		Figures: Figures{Rig: &reports.RigHealth{SlipP99: 3}, Devices: []reports.Device{{ID: "d", Mode: reports.ModeReal}}},
	}
	text, err := out.encode()
	if err != nil {
		t.Fatal(err)
	}
	report := types.SpecReport{ReportEntries: types.ReportEntries{
		{Name: "another", Value: types.WrapEntryValue(3)}, {Name: entryName, Value: types.WrapEntryValue(text)},
	}}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var elsewhere types.SpecReport
	if err := json.Unmarshal(data, &elsewhere); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]types.SpecReport{"here": report, "elsewhere": elsewhere} {
		back, found := outcomeOf(r, "s")
		if !found || back.Scenario != "s" || back.Unavailable != "gone" || len(back.Results) != 1 {
			t.Fatalf("%s: %v %+v", name, found, back)
		}
		m := back.Results[0].Measurement
		if !math.IsInf(float64(m.Estimate), 1) || !math.IsNaN(float64(m.Lower)) || back.Figures.Rig.SlipP99 != 3 || back.Figures.Devices[0].ID != "d" {
			t.Errorf("%s: figures are %+v, %+v", name, m, back.Figures)
		}
	}
	if _, found := outcomeOf(types.SpecReport{}, "s"); found {
		t.Error("a report without an entry has an outcome")
	}
	broken := Outcome{Results: []reports.Result{{Measurement: &reports.Measurement{VIF: math.Inf(1)}}}}
	if _, err := broken.encode(); err == nil {
		t.Error("a figure that JSON cannot hold was written")
	}
}

// A body that Ginkgo stopped waiting for attaches what it has to the spec that
// runs by then. It must not stand for that spec.
func TestAnOutcomeOfAnotherScenarioDoesNotCount(t *testing.T) {
	entry := func(scenario string) types.ReportEntry {
		text, err := Outcome{Scenario: scenario}.encode()
		if err != nil {
			t.Fatal(err)
		}
		return types.ReportEntry{Name: entryName, Value: types.WrapEntryValue(text)}
	}
	if out, found := outcomeOf(types.SpecReport{ReportEntries: types.ReportEntries{entry("late"), entry("mine")}}, "mine"); !found || out.Scenario != "mine" {
		t.Errorf("behind a stranger's the outcome is %v %+v", found, out)
	}
	if out, found := outcomeOf(types.SpecReport{ReportEntries: types.ReportEntries{entry("late")}}, "mine"); found {
		t.Errorf("a stranger's outcome was taken: %+v", out)
	}
}

func TestEvidenceIsDigested(t *testing.T) {
	dir := t.TempDir()
	content := []byte("what was seen")
	for path, data := range map[string][]byte{
		"records/steady/records.bin": content, "sut/steady/bridged.log": []byte("log"), "summary.json": []byte("made from it"),
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Evidence(dir)
	if err != nil || len(all) != 2 {
		t.Fatalf("evidence is %+v, %v", all, err)
	}
	sum := sha256.Sum256(content)
	want := reports.Evidence{Path: "records/steady/records.bin", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
	if all[0] != want {
		t.Errorf("evidence is %+v, want %+v", all[0], want)
	}
	if all, err := Evidence(t.TempDir()); err != nil || len(all) != 0 {
		t.Errorf("an empty directory has evidence %v, %v", all, err)
	}
}

// A system that died, or a recording that could not be written to its end, is
// found when the attempt ends. What was judged before does not pass then.
func TestWhatEndsBadlyIsSaid(t *testing.T) {
	rig := testRig(t, &profile.Profile{Name: "p", Certifies: true})
	for name, c := range map[string]struct {
		ending error
		said   func(Outcome) string
	}{
		"system":    {fmt.Errorf("it died: %w", sut.ErrUnavailable), func(o Outcome) string { return o.Unavailable }},
		"bench":     {fmt.Errorf("it died: %w", harness.ErrBench), func(o Outcome) string { return o.NoBench }},
		"recording": {errors.New("it died: no space left on device"), func(o Outcome) string { return o.BrokeOff }},
	} {
		var order []int
		sc := Scenario{ID: "s", Requirements: []string{"LAT-01"}, Judge: func(c *Case) {
			c.Judge(reports.Result{Requirement: "LAT-01", Verdict: reports.Pass})
		}}
		trial := &Trial{Rig: rig, Scenario: sc, emit: &emitter{court: testCourt(t)}}
		trial.ends = []func() error{
			func() error { order = append(order, 1); return c.ending },
			func() error { order = append(order, 2); return nil },
		}
		s := &session{emitter: trial.emit, trial: trial, scenario: trial.Scenario}
		s.take(t.Context(), true, nil)
		if said := c.said(s.outcome); !strings.Contains(said, "it died") {
			t.Errorf("%s: the outcome is %+v", name, s.outcome)
		}
		if !slices.Equal(order, []int{2, 1}) || trial.ends != nil {
			t.Errorf("%s: ended in the order %v", name, order)
		}
	}
}

// What a busy machine could not establish may be tolerated; that nothing was
// tried, or that the system was not there, never.
func TestUnwantedResults(t *testing.T) {
	for _, c := range []struct {
		verdict            reports.Verdict
		reason             reports.Reason
		strict, tolerating bool // unwanted?
	}{
		{reports.Pass, "", false, false},
		{reports.NotApplicable, "", false, false},
		{reports.ConditionalPass, "", true, false},
		{reports.ConditionalFail, "", true, false},
		{reports.Inconclusive, reports.ReasonGenerator, true, false},
		{reports.Inconclusive, reports.ReasonSamples, true, false},
		{reports.Inconclusive, reports.ReasonBudget, true, false},
		{reports.Inconclusive, reports.ReasonSUT, true, true},
		{reports.Inconclusive, reports.ReasonInterrupted, true, true},
		{reports.NotRun, "", true, true},
		{reports.Fail, "", true, true},
		{reports.Error, "", true, true},
	} {
		for tolerate, want := range map[bool]bool{false: c.strict, true: c.tolerating} {
			e := &emitter{opts: EmitOptions{Tolerate: tolerate}}
			for id, want := range map[string]bool{"LAT-01": want, "RIG-01": false} { // RIG-01 is optional
				got := e.unwanted([]reports.Result{{Requirement: id, Verdict: c.verdict, Reason: c.reason, Sentence: "so it is"}})
				if (len(got) > 0) != want {
					t.Errorf("%s: %s(%s), tolerate %v, gives %q", id, c.verdict, c.reason, tolerate, got)
				}
			}
		}
	}
}

// vanishing lists a file that is gone when it is opened.
type vanishing struct{ fstest.MapFS }

func (v vanishing) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "gone.bin") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return v.MapFS.Open(name)
}

// Evidence that goes away while it is listed must not end the list quietly.
func TestEvidenceThatVanishesIsAnError(t *testing.T) {
	files := vanishing{fstest.MapFS{"records/a/gone.bin": {}, "records/b/records.bin": {}}}
	if all, err := evidence(files); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gone.bin") {
		t.Errorf("the evidence is %v, %v", all, err)
	}
}

func TestWorseKeepsTheWorstOfEachFigure(t *testing.T) {
	a := reports.RigHealth{SlipP99: 1, HiccupMax: 9, Offered: 10, Achieved: 9, FloorP50: reports.Float(math.NaN()), ClockSource: "tsc"}
	b := reports.RigHealth{SlipP99: 2, HiccupMax: 3, Offered: 5, Achieved: 5, FloorP50: 0.1}
	for _, got := range []reports.RigHealth{worse(a, b), worse(b, a), worse(worse(reports.RigHealth{}, a), b)} {
		if got.SlipP99 != 2 || got.HiccupMax != 9 || got.Offered != 15 || got.Achieved != 14 || got.FloorP50 != 0.1 || got.ClockSource != "tsc" {
			t.Errorf("worse is %+v", got)
		}
	}
}

func TestWorstSparesOptionalRequirements(t *testing.T) {
	known := registry.known
	defer func() { registry.known = known }()
	registry.known = nil
	for id, class := range map[string]reports.Class{"A-01": reports.Mandatory, "R-01": reports.Optional} {
		k := known[0]
		k.Requirement.ID, k.Requirement.Class = id, class
		registry.known = append(registry.known, k)
	}
	pass := reports.Result{Requirement: "A-01", Verdict: reports.Pass}
	fail := reports.Result{Requirement: "R-01", Verdict: reports.Fail}
	if got := worst([]reports.Result{fail, pass}); got.Requirement != "A-01" {
		t.Errorf("an optional failure decides: %+v", got)
	}
	if got := worst([]reports.Result{fail}); got.Requirement != "R-01" {
		t.Errorf("alone it must show: %+v", got)
	}
}

func TestEnvironmentNamesNobody(t *testing.T) {
	env := Environment(t.Context())
	for _, key := range []string{"os", "arch", "go", "cores"} {
		if env[key] == "" {
			t.Errorf("%s is missing from %v", key, env)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip("this machine has no name to look for")
	}
	for key, value := range env {
		if value == host {
			t.Errorf("%s is the name of the host", key)
		}
	}
}

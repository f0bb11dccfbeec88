package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/reports/events"
	"plumbline/reports/render"
)

// courseOf reads a file of events, checks every line against the schema and that
// none is missing.
func courseOf(t *testing.T, path string) []events.Event {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Event
	for line := range bytes.Lines(text) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		e, err := events.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != uint64(len(all)+1) {
			t.Errorf("line %d has the number %d", len(all)+1, e.Seq)
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		t.Fatalf("no events in %s", path)
	}
	return all
}

// tellsItsCourse checks that the events of a run that did not fail tell what its summary
// says.
func tellsItsCourse(t *testing.T, dir string, scenarios ...string) {
	t.Helper()
	run, err := render.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s events.State
	var finished []string
	figures := map[string]events.Figures{}
	all := courseOf(t, filepath.Join(dir, events.FileName))
	for _, e := range all {
		s.Apply(e)
		switch e.Kind {
		case events.ScenarioFinished:
			finished = append(finished, e.Scenario)
		case events.FiguresTaken:
			if e.Figures.Viewers > 0 { // those of the end may be of a bench that is closed already
				figures[e.Scenario] = *e.Figures
			}
		}
	}
	first, last := all[0], all[len(all)-1]
	if first.Kind != events.RunBegan || first.Run.ID != run.ID || first.Run.Seed != run.Seed || first.Run.Profile != run.Profile.Name || len(first.Run.Scenarios) != len(scenarios) {
		t.Errorf("the first event is %+v of %+v", first, first.Run)
	}
	if last.Kind != events.RunEnded || *last.Verdict != run.Overall || *last.Exit != run.Overall.ExitCode() {
		t.Errorf("the last event is %+v", last)
	}
	slices.Sort(finished)
	if !slices.Equal(finished, scenarios) || s.Done != len(scenarios) {
		t.Errorf("finished %v, want %v", finished, scenarios)
	}
	decided := 0
	for _, f := range s.Families {
		if f.Decided != f.Total {
			t.Errorf("family %s: %d of %d requirements are decided", f.Name, f.Decided, f.Total)
		}
		decided += f.Decided
	}
	if decided != len(run.Requirements) {
		t.Errorf("%d requirements are decided, the run has %d", decided, len(run.Requirements))
	}
	// The scenario with sources lasts longer than it takes to tell of it.
	if f, told := figures["sources"]; !told || f.Sent == 0 || f.Devices == 0 || f.N == 0 || !(f.P50 > 0) || f.P99 < f.P50 {
		t.Errorf("figures of sources: %+v, told %v", f, told)
	}
}

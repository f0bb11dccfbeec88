package events_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/events"
)

func apply(all []events.Event) *events.State {
	s := &events.State{}
	for _, e := range all {
		s.Apply(e)
	}
	return s
}

func families(s *events.State) string {
	var out []string
	for _, f := range s.Families {
		text, _ := json.Marshal(f)
		out = append(out, string(text))
	}
	return strings.Join(out, " ")
}

func TestStateInTheMiddleOfARun(t *testing.T) {
	s := apply(course()[:5])
	if got, want := families(s), `{"name":"LAT","total":1,"decided":0,"worst":"NOT RUN"} {"name":"DEL","total":1,"decided":0,"worst":"NOT RUN"} {"name":"ORD","total":1,"decided":0,"worst":"NOT RUN"}`; got != want {
		t.Errorf("families\n%s\nwant\n%s", got, want)
	}
	sc := s.Scenario
	if sc == nil || sc.ID != "steady" || sc.Step != "start the bridge" || sc.Figures == nil || sc.Figures.N != 100 {
		t.Fatalf("scenario %+v", sc)
	}
	if len(sc.Faults) != 1 || sc.Faults[0].Name != "SIGKILL bridge" || s.Struck != 1 {
		t.Errorf("faults %+v, %d struck", sc.Faults, s.Struck)
	}
	if s.Left == nil || *s.Left != 12.5 || s.Total != 2 || s.Done != 0 {
		t.Errorf("left %v of %d, %d done", s.Left, s.Total, s.Done)
	}
	s.Apply(course()[5])
	if len(s.Scenario.Faults) != 0 {
		t.Errorf("a fault that ended is still on: %+v", s.Scenario.Faults)
	}
	if past := s.Scenario.Past; past == nil || past.Name != "SIGKILL bridge" || past.Ended.Sub(past.Since) != 2*time.Second || past.Fired != 1 {
		t.Errorf("the fault that is over: %+v", past)
	}
	s.Apply(course()[6])
	if s.Scenario.Attempt != 2 || s.Scenario.Figures != nil {
		t.Errorf("after a voided attempt %+v", s.Scenario)
	}
}

func TestStateAtTheEnd(t *testing.T) {
	all := course()
	s := apply(all[:8])
	// DEL-01 is judged by another scenario still.
	if got, want := families(s), `{"name":"LAT","total":1,"decided":1,"worst":"PASS"} {"name":"DEL","total":1,"decided":0,"worst":"PASS"} {"name":"ORD","total":1,"decided":0,"worst":"NOT RUN"}`; got != want {
		t.Errorf("families\n%s\nwant\n%s", got, want)
	}
	if len(s.Notable) != 0 {
		t.Errorf("what a voided attempt left open is notable: %+v", s.Notable)
	}
	s = apply(all[:10])
	// ORD-01 is optional: it fails and worsens nothing.
	if got, want := families(s), `{"name":"LAT","total":1,"decided":1,"worst":"PASS"} {"name":"DEL","total":1,"decided":1,"worst":"FAIL"} {"name":"ORD","total":1,"decided":1,"worst":"NOT RUN"}`; got != want {
		t.Errorf("families\n%s\nwant\n%s", got, want)
	}
	if s.Verdicts["PASS"] != 1 || s.Verdicts["FAIL"] != 2 || len(s.Verdicts) != 2 {
		t.Errorf("verdicts %v", s.Verdicts)
	}
	want := []events.Notable{
		{Requirement: "DEL-01", Scenario: "load", Verdict: reports.Fail, Text: "lost sim-07: seq 12"},
		{Requirement: "ORD-01", Scenario: "load", Verdict: reports.Fail},
	}
	if !slices.Equal(s.Notable, want) {
		t.Errorf("notable %+v", s.Notable)
	}
	s = apply(all)
	if s.Verdict == nil || *s.Verdict != reports.Fail || *s.Exit != 1 || s.Partial == "" || s.Report == "" || s.Scenario != nil || s.Left != nil || s.Done != 2 || s.Dropped != 3 {
		t.Errorf("ended as %+v", s)
	}
	s.Apply(all[0])
	if s.Done != 0 || s.Verdict != nil || len(s.Notable) != 0 {
		t.Errorf("a new run began with what the one before left: %+v", s)
	}
}

// TestStateTakesAnything feeds what no run tells: nothing may panic or grow
// without bound.
func TestStateTakesAnything(t *testing.T) {
	s := &events.State{}
	for range 1000 {
		for _, e := range course()[1:] {
			s.Apply(e)
			s.Apply(events.Event{Kind: e.Kind})
			s.Apply(events.Event{Kind: e.Kind, Scenario: "steady"})
		}
		s.Apply(events.Event{Kind: "of-tomorrow"})
	}
	if len(s.Notable) > 8 || len(s.Families) != 3 {
		t.Errorf("%d notable, %d families", len(s.Notable), len(s.Families))
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}

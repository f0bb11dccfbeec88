package spec

import (
	"testing"
	"time"

	"plumbline/harness/profile"
	"plumbline/reports/events"
)

func TestExpectedFollowsTheLoads(t *testing.T) {
	p := &profile.Profile{Loads: map[string]profile.Load{
		"steady": {Runs: 3, Extend: 4, WarmUp: time.Second, Window: 15 * time.Second, Drain: time.Minute},
		"kill":   {Cycles: 5, Hold: 400 * time.Millisecond},
		"many":   {Cycles: 500},
		"none":   {},
	}}
	for _, c := range []struct {
		sc   Scenario
		want time.Duration
	}{
		{Scenario{}, besides},
		{Scenario{Loads: []string{"none"}}, besides},
		{Scenario{Loads: []string{"steady"}}, besides + 3*(16*time.Second+eachRun)},
		{Scenario{Loads: []string{"kill"}}, besides + 4150*time.Millisecond},
		{Scenario{Loads: []string{"kill"}, Faults: 3}, besides + 3*4150*time.Millisecond},
		{Scenario{Loads: []string{"many"}}, besides + 17*time.Second},
	} {
		if got := expected(p, c.sc); got != c.want {
			t.Errorf("%v: %v, want %v", c.sc.Loads, got, c.want)
		}
	}
}

func TestForecastLearnsFromWhatScenariosTook(t *testing.T) {
	var f forecast
	now := time.Unix(1000, 0)
	check := func(what string, want time.Duration) {
		t.Helper()
		if got := f.left(now); (got - want).Abs() > time.Millisecond {
			t.Errorf("%s: %v left, want %v", what, got, want)
		}
	}
	check("before anything is known", 0)
	f.see(Event{Kind: RunBegan, Plan: []events.Planned{{ID: "a", Expected: 30}, {ID: "b", Expected: 60}}})
	check("at the beginning", 90*time.Second)
	f.see(Event{Kind: ScenarioBegan, Scenario: "a", At: now})
	now = now.Add(10 * time.Second)
	check("within the first", 80*time.Second)
	now = now.Add(40 * time.Second)
	check("when the first takes longer than expected", 60*time.Second)
	now = now.Add(10 * time.Second)
	f.see(Event{Kind: ScenarioFinished, Scenario: "a", At: now, Elapsed: time.Minute})
	check("after the first took twice as long", 90*time.Second) // 60 s · (60+30)/(30+30)
	f.see(Event{Kind: ScenarioBegan, Scenario: "b", At: now})
	f.see(Event{Kind: ScenarioFinished, Scenario: "b", At: now, Elapsed: time.Minute})
	check("at the end", 0)
}

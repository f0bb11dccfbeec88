package spec

import (
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/live"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/reports"
	"plumbline/reports/events"
)

// teller tells whoever watches a run how it goes on, one event at a time. The nil
// teller tells nobody and follows nothing.
type teller struct {
	progress func(Event)
	profile  *profile.Profile
	monitor  *live.Monitor

	mu       sync.Mutex // held while somebody is told
	forecast forecast
	judges   map[string][]string // by scenario: requirements
}

// newTeller returns nil when there is nobody to tell.
func newTeller(progress func(Event), p *profile.Profile) *teller {
	if progress == nil {
		return nil
	}
	return &teller{progress: progress, profile: p, judges: map[string][]string{}}
}

// follow starts to tell figures and faults; the function that it returns ends that.
func (t *teller) follow() (end func()) {
	if t == nil {
		return func() {}
	}
	t.monitor = live.NewMonitor(live.Every, t.told)
	return t.monitor.Close
}

// recording is what a rig calls when a bench begins to record.
func (t *teller) recording() func(string, *record.Recorder) {
	if t == nil {
		return nil
	}
	return t.monitor.Follow
}

// leave says that the bench at work is closed.
func (t *teller) leave() {
	if t != nil && t.monitor != nil {
		t.monitor.Leave()
	}
}

// told passes on what the monitor saw.
func (t *teller) told(of live.Told) {
	switch {
	case of.Figures != nil:
		t.event(Event{Kind: FiguresTaken, At: of.At, Scenario: of.Scenario, Figures: of.Figures})
	case of.Change.Ended:
		t.event(Event{Kind: FaultEnded, At: of.At, Scenario: of.Scenario, Fault: &of.Change.Fault})
	default:
		t.event(Event{Kind: FaultBegan, At: of.At, Scenario: of.Scenario, Fault: &of.Change.Fault})
	}
}

// event tells one event, with what follows from it.
func (t *teller) event(ev Event) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ev.At.IsZero() {
		ev.At = time.Now()
	}
	for _, sc := range ev.Plan {
		t.judges[sc.ID] = sc.Requirements
	}
	if ev.Figures != nil {
		ev.Figures.Limits = latencyLimits(t.profile, t.judges[ev.Scenario])
	}
	t.forecast.see(ev)
	ev.Left = t.forecast.left(ev.At)
	t.progress(ev)
}

// planned lists the scenarios of a run. One of which nothing applies to the system
// under test does nothing.
func planned(rig *harness.Rig, selected []Scenario) []events.Planned {
	var out []events.Planned
	for _, sc := range selected {
		one, applies := events.Planned{ID: sc.ID, Title: sc.Title, Requirements: []string{}}, false
		trial := &Trial{Rig: rig, Scenario: sc}
		for _, id := range sc.Requirements {
			if asks(rig.Profile(), id) {
				one.Requirements = append(one.Requirements, id)
			}
			applies = applies || trial.Applies(id)
		}
		if applies {
			one.Expected = expected(rig.Profile(), sc).Seconds()
		}
		out = append(out, one)
	}
	return out
}

// latencyLimits returns the limits among the requirements of a scenario that are
// about a quantile of the latency of samples. That from a stimulus on is another.
func latencyLimits(p *profile.Profile, requirements []string) []reports.Limit {
	var out []reports.Limit
	for _, id := range requirements {
		known, _ := Requirement(id)
		r := known.Requirement
		if limit, given := p.Limits[id]; given && r.Quantile > 0 && r.Family() == "LAT" && limit.Time > 0 {
			out = append(out, reports.Limit{Requirement: id, Q: r.Quantile, Value: limit.Time.Seconds() * 1e3})
		}
	}
	return out
}

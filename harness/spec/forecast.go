package spec

import (
	"time"

	"plumbline/harness/profile"
)

// What a scenario takes beside what its loads declare: starting, draining and
// judging, and in each cycle what it waits for. Many cycles are short ones.
const (
	besides   = 1500 * time.Millisecond
	eachCycle = time.Second            // of a few
	allCycles = 2 * time.Second        // of many, and
	shortOne  = 30 * time.Millisecond  // for each
	eachRun   = 600 * time.Millisecond // restarts
)

// expected is how long about a scenario takes by what the profile declares: as
// timeout, without the reserves and extensions that are seldom needed.
func expected(p *profile.Profile, sc Scenario) time.Duration {
	total := besides
	for _, name := range sc.Loads {
		l := p.Loads[name]
		if one := l.WarmUp + l.Window; one > 0 {
			total += time.Duration(max(l.Runs, 1)) * (one + eachRun)
		}
		if l.Cycles > 0 {
			held := time.Duration(l.Cycles)*l.Hold + min(time.Duration(l.Cycles)*eachCycle, allCycles+time.Duration(l.Cycles)*shortOne)
			total += time.Duration(max(sc.Faults, 1)) * held
		}
	}
	return total
}

// forecast says how long a run will go on. What scenarios really took corrects
// what was expected of the others.
type forecast struct {
	expected map[string]time.Duration // of what has not ended
	current  string
	began    time.Time
	declared time.Duration // of what has ended
	took     time.Duration // what that really took
}

// unsure is how much declared time stands for the declaration being right: with
// little behind it a scenario that was off changes little.
const unsure = 30 * time.Second

// see takes an event.
func (f *forecast) see(ev Event) {
	switch ev.Kind {
	case RunBegan:
		*f = forecast{expected: map[string]time.Duration{}}
		for _, sc := range ev.Plan {
			f.expected[sc.ID] = time.Duration(sc.Expected * float64(time.Second))
		}
	case ScenarioBegan:
		f.current, f.began = ev.Scenario, ev.At
	case ScenarioFinished:
		f.declared += f.expected[ev.Scenario]
		f.took += ev.Elapsed
		delete(f.expected, ev.Scenario)
		f.current = ""
	}
}

// left is how long the run will go on from now.
func (f *forecast) left(now time.Time) time.Duration {
	factor := float64(f.took+unsure) / float64(f.declared+unsure)
	var all float64
	for id, want := range f.expected {
		rest := float64(want) * factor
		if id == f.current {
			rest = max(rest-float64(now.Sub(f.began)), 0)
		}
		all += rest
	}
	return time.Duration(all)
}

package main

import (
	"slices"

	"plumbline/scenarios/defects"
)

// stage is what is tried side by side; nothing of it begins before the last
// stage has ended.
type stage struct {
	jobs   []job
	places int
}

// none is the control without a defect, whose verdicts stand beside all defects
// that are tried under the conditions of its profile.
const none = "none"

// plan puts trials in the order in which they are run: those without a defect
// before those that they stand beside, and those that others would disturb alone.
func (p *prover) plan(ids []string) []stage {
	first, shared, alone := stage{places: 1}, stage{places: p.parallel}, stage{places: 1}
	var sobers []defects.Defect // one for each condition
	apart := map[string]bool{}  // conditions of trials that must be alone
	for i, id := range ids {
		j := job{id: id, param: p.param, seed: p.seed + uint64(i)}
		d, isDefect := defects.Find(id)
		c, _ := defects.FindControl(id)
		beside := slices.Contains(ids, none) && d.Plain() // the control is the trial without it
		switch {
		case id == none:
			first.jobs = append(first.jobs, j)
			continue
		case isDefect && !beside:
			if _, seen := apart[d.Condition()]; !seen {
				sobers = append(sobers, d)
			}
			apart[d.Condition()] = apart[d.Condition()] || d.Alone()
		}
		if (isDefect && d.Alone()) || (!isDefect && c.Alone()) {
			alone.jobs = append(alone.jobs, j)
		} else {
			shared.jobs = append(shared.jobs, j)
		}
	}
	before := map[bool]*stage{false: {places: p.parallel}, true: {places: 1}}
	for _, d := range sobers {
		s := before[apart[d.Condition()]]
		s.jobs = append(s.jobs, job{id: d.ID, how: sober, seed: p.seed})
	}
	return []stage{first, *before[false], shared, *before[true], alone}
}

// verdicts are what requirements say without a defect: by the condition of the
// trial, "" for the profile as it is, and by requirement.
type verdicts map[string]map[string]string

// settle keeps what a trial without a defect says and holds a defect against it.
func (v verdicts) settle(j job, out defects.Outcome) defects.Outcome {
	d, isDefect := defects.Find(j.id)
	switch {
	case v == nil || j.how == campaign:
	case j.how == sober:
		v[d.Condition()] = out.Verdicts
	case j.id == none:
		v[""] = out.Verdicts
	case isDefect:
		without, tried := v[d.Condition()]
		if !tried {
			without = v[""]
		}
		out = out.Against(without[d.Kills])
	}
	return out
}

package spec

import (
	"encoding/json"
	"fmt"
	"slices"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// Case is one attempt at a scenario as its files hold it: what a Judge sees,
// and all that it sees. It belongs to the goroutine of the judge.
type Case struct {
	Scenario Scenario
	Profile  *profile.Profile

	conditions *Conditions
	attempt    *attempt
	dir        string // of the run
	benches    []*harness.Recorded

	results []reports.Result
	figures Figures
	damage  []error // a file that could not be read, which ended the judgement
}

// Seed returns the seed of the run.
func (c *Case) Seed() uint64 { return c.conditions.Seed }

// Title names the profile as sentences do: "ci 1.0".
func (c *Case) Title() string { return c.Profile.Name + " " + c.Profile.Version }

// Load returns a load of the profile that the scenario named.
func (c *Case) Load(name string) profile.Load { return c.Profile.Loads[name] }

// Limit returns the limit of a requirement.
func (c *Case) Limit(id string) profile.Limit { return c.Profile.Limits[id] }

// Requirement returns the requirement of that id.
func (c *Case) Requirement(id string) reports.Requirement {
	known, _ := Requirement(id) // Bind has checked it
	return known.Requirement
}

// Applies reports whether the profile asks for the requirement and the system
// under test claims what it needs. Results for one that does not apply are
// dropped; one that is asked for is N/A then.
func (c *Case) Applies(id string) bool {
	return asks(c.Profile, id) && c.conditions.lacks(c.Scenario, id) == ""
}

// Bench returns the bench that the drive opened first.
func (c *Case) Bench() *harness.Recorded {
	all := c.Benches()
	if len(all) == 0 {
		c.Check(fmt.Errorf("spec: scenario %q is judged by a bench and opened none", c.Scenario.ID))
	}
	return all[0]
}

// Benches returns the benches that the drive opened, in this order.
func (c *Case) Benches() []*harness.Recorded {
	if c.benches == nil {
		for _, folder := range c.attempt.Benches {
			r, err := harness.OpenRecorded(c.dir, folder)
			c.Check(err)
			c.benches = append(c.benches, r)
		}
	}
	return c.benches
}

// Facts returns what the drive kept with Trial.Keep, which must have been of
// the same type. A drive that kept nothing, or something else, ends the
// judgement as a fault of the harness.
func Facts[T any](c *Case) T {
	var facts T
	if len(c.attempt.Facts) == 0 {
		c.Check(fmt.Errorf("spec: scenario %q is judged by facts and kept none", c.Scenario.ID))
	}
	if err := decodeStrictly(c.attempt.Facts, &facts); err != nil {
		c.Check(fmt.Errorf("spec: facts of scenario %q: %w", c.Scenario.ID, err))
	}
	return facts
}

// ended is what Check throws and court.hear catches.
type ended struct{ err error }

// Check ends the judgement when err is not nil. What was judged before stands;
// the requirements without a result become INCONCLUSIVE (err says that the
// system under test or a part of the bench was not there) or ERROR.
func (c *Case) Check(err error) {
	if err != nil {
		panic(ended{err})
	}
}

// Judge records results of oracles. Scenario, times, attempt, procedure and
// the command that repeats it are filled in.
func (c *Case) Judge(results ...reports.Result) {
	for _, r := range results {
		if c.Applies(r.Requirement) {
			c.results = append(c.results, r)
		}
	}
}

// Results returns what was judged so far.
func (c *Case) Results() []reports.Result { return slices.Clone(c.results) }

// Show adds figures to the report.
func (c *Case) Show(f Figures) { c.figures.add(f) }

// CaseOf returns a case whose drive kept facts, with a system under test that
// claims every capability that the scenario needs, for tests of judges that
// need no bench. Facts that cannot be encoded are an error.
func CaseOf(p *profile.Profile, sc Scenario, facts any) (*Case, error) {
	text, err := json.Marshal(facts)
	if err != nil {
		return nil, err
	}
	c := &Case{Scenario: sc, Profile: p, conditions: &Conditions{}, attempt: &attempt{Facts: text}}
	for _, k := range registry.known {
		c.conditions.SUT.Capabilities = append(c.conditions.SUT.Capabilities, k.Requirement.Capability)
	}
	return c, nil
}

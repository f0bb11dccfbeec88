package spec

import (
	"errors"
	"fmt"
	"slices"

	"plumbline/harness"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// Recompute judges a stored run again, from its directory alone: conditions and
// profile below config/, what the attempts did and saw below facts/, what the
// benches recorded below records/. It starts nothing, writes nothing and looks at
// no report. The run that comes back has everything that follows from those
// files; tool, environment, evidence and the time of the end do not.
//
// An error says which file is missing or damaged, or that this version judges
// by another rule or catalogue than the run did. A run beside it holds what can
// be judged all the same; nil means nothing.
func Recompute(dir string) (*reports.Run, error) {
	conditions, p, err := readConditions(dir)
	if err != nil {
		return nil, err
	}
	rig, err := harness.NewRig(harness.Config{Profile: p})
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	all, err := Bind(rig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, err)
	}
	selected, left, err := choose(all, conditions.LabelFilter)
	if err != nil {
		return nil, err
	}
	c := composer{court: &court{dir: dir, conditions: conditions, profile: p}, selected: selected, left: left}
	errs := conditions.same(selected)
	outcomes := make([]Outcome, 0, len(selected))
	for _, sc := range selected {
		out, err := c.court.again(sc)
		if err != nil {
			errs = append(errs, err)
			out.Scenario = sc.ID
		}
		errs = append(errs, out.damage...)
		outcomes = append(outcomes, out)
	}
	c.assemble(outcomes)
	return c.run, errors.Join(errs...)
}

// same says what this version does not judge by as the run did.
func (c *Conditions) same(selected []Scenario) (errs []error) {
	if c.RuleDigest != ruleDigest() {
		errs = append(errs, fmt.Errorf("spec: the run was judged by the rule %q, this version applies %q", c.Rule, stats.RuleText()))
	}
	if c.Catalogue != catalogueDigest() {
		errs = append(errs, fmt.Errorf("spec: the run was judged by another catalogue of requirements (SHA-256 %s) than this version holds (%s)", c.Catalogue, catalogueDigest()))
	}
	var ids []string
	for _, sc := range selected {
		ids = append(ids, sc.ID)
	}
	if !slices.Equal(ids, c.Scenarios) {
		errs = append(errs, fmt.Errorf("spec: the run made the scenarios %v, the filter selects %v in this version", c.Scenarios, ids))
	}
	return errs
}

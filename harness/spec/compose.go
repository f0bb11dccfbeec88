package spec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// composer turns the outcomes of all scenarios into one run.
type composer struct {
	court          *court
	selected, left []Scenario

	run     *reports.Run
	partial []string
	// Of the last scenario that met it, "" for none.
	unavailable, noBench, brokeOff string
	noSpace                        bool
	where                          string // the disk was full, in the first scenario that met it
}

// compose gathers what the scenarios left behind, in their order, and adds what
// only the live run knows.
func (c *composer) compose(ctx context.Context, report types.Report) (*reports.Run, error) {
	outcomes := c.outcomes(report)
	// Asked once, so that run, conditions and error agree.
	interrupted := ctx.Err() != nil
	c.court.conditions.Interrupted = interrupted
	unkept := c.court.conditions.write(c.court.dir)
	c.assemble(outcomes)
	c.run.Environment = Environment(ctx)
	c.run.Environment["generator"] = c.court.conditions.Generator
	c.court.conditions.Calibration.environment(c.run.Environment)
	agents, err := harness.Agents(c.court.dir)
	for name, text := range agents {
		c.run.Environment["agent_"+name] = text
	}
	pages, pagesErr := harness.Pages(c.court.dir)
	for name, text := range pages {
		c.run.Environment["page_"+name] = text
	}
	unkept = errors.Join(unkept, err, pagesErr)
	evidence, err := Evidence(c.court.dir)
	if err = errors.Join(unkept, err); err != nil {
		c.run.Partial = strings.Join(append(c.partial, err.Error()), "; ")
		c.run.Overall = c.run.Judge()
	}
	c.run.Evidence = evidence
	c.run.Finished = time.Now().UTC()
	return c.run, c.err(interrupted, err)
}

// assemble makes the run that the outcomes give. It is a pure function of them
// and of the conditions.
func (c *composer) assemble(outcomes []Outcome) {
	with := c.court.conditions
	c.run = &reports.Run{
		Schema: reports.SchemaVersion, ID: with.Run, Started: with.Started, Seed: with.Seed,
		Profile: c.court.profile.Report(), Deviations: with.Deviations,
		Certifying: c.court.profile.Certifies && len(c.left) == 0,
		SUT:        with.SUT,
	}
	c.list()
	if with.Interrupted {
		c.partial = append(c.partial, "interrupted")
	}
	for _, out := range outcomes {
		c.add(out)
	}
	why := with.Calibration.unfit
	if missing := with.Calibration.missing(c.court.profile.Gates.Reference); missing != "" {
		why = func(reports.Result) string { return missing }
	}
	withhold(c.run.Results, why)
	c.run.Uncertainty, c.run.Gates = uncertainty(c.court.profile, c.run.Results), gates(c.court.profile)
	c.run.Partial = strings.Join(c.partial, "; ")
	c.run.Overall = c.run.Judge()
}

// err is what stands beside the run.
func (c *composer) err(interrupted bool, evidence error) error {
	switch {
	case interrupted:
		return fmt.Errorf("spec: run %q: %w; what was recorded so far is kept and marked partial", c.run.ID, ErrInterrupted)
	case evidence != nil:
		return fmt.Errorf("spec: %w: %w", ErrFault, evidence)
	case c.brokeOff != "":
		return fmt.Errorf("spec: %w: %s", ErrFault, c.brokeOff)
	case c.unavailable != "":
		return fmt.Errorf("spec: %s: %w", c.unavailable, sut.ErrUnavailable)
	case c.noSpace:
		return fmt.Errorf("spec: %w%s", harness.ErrSpace, c.where)
	case c.noBench != "":
		return fmt.Errorf("spec: %s: %w", c.noBench, harness.ErrBench)
	default:
		return nil
	}
}

// outcomes returns what the selected scenarios left behind, in their order. The
// outcome in Ginkgo's report was judged from the files of the run; a scenario
// that attached none is judged by what it kept, or by what Ginkgo says of it.
func (c *composer) outcomes(report types.Report) []Outcome {
	byID := map[string]types.SpecReport{}
	for _, r := range report.SpecReports {
		for _, sc := range c.selected {
			if slices.Contains(r.Labels(), sc.ID) && r.LeafNodeType == types.NodeTypeIt {
				byID[sc.ID] = r
			}
		}
	}
	outcomes := make([]Outcome, 0, len(c.selected))
	for _, sc := range c.selected {
		out, found := outcomeOf(byID[sc.ID], sc.ID)
		if !found {
			var err error
			if out, err = c.court.again(sc); err != nil {
				out = c.court.settle(sc, missing(sc, byID[sc.ID]))
			}
		}
		outcomes = append(outcomes, out)
	}
	return outcomes
}

// add adds one scenario to the run.
func (c *composer) add(out Outcome) {
	if out.NotBegun {
		c.partial = append(c.partial, fmt.Sprintf("scenario %s did not run", out.Scenario))
	}
	for _, problem := range []struct {
		why  string
		keep *string
	}{{out.Unavailable, &c.unavailable}, {out.NoBench, &c.noBench}, {out.BrokeOff, &c.brokeOff}} {
		if problem.why != "" {
			*problem.keep = fmt.Sprintf("scenario %s: %s", out.Scenario, oneLine(problem.why))
			c.partial = append(c.partial, *problem.keep)
		}
	}
	if out.NoSpace && !c.noSpace {
		c.noSpace = true
		_, c.where, _ = strings.Cut(oneLine(out.NoBench), harness.ErrSpace.Error())
	}
	c.run.Results = append(c.run.Results, out.Results...)
	c.figures(out.Figures)
}

// missing is the attempt at a scenario that left nothing.
func missing(sc Scenario, r types.SpecReport) *attempt {
	a := &attempt{Scenario: sc.ID, Number: 1, Started: r.StartTime.UTC().Round(0), Duration: r.RunTime, Steps: []string{}, Benches: []string{}}
	switch {
	case r.State.Is(types.SpecStateInterrupted | types.SpecStateSkipped | types.SpecStateAborted):
		a.Ending.NotBegun = true
	case r.State.Is(types.SpecStateTimedout):
		a.Ending.Overtime = true
	default:
		a.Ending.Failure = cmp.Or(r.FailureMessage(), "the scenario left no outcome (state "+r.State.String()+")")
	}
	return a
}

// list lists the requirements that the profile asks for. Those that no selected
// scenario judges, and one that was left out does, are deselected.
func (c *composer) list() {
	judges := func(all []Scenario, id string) bool {
		return slices.ContainsFunc(all, func(sc Scenario) bool { return slices.Contains(sc.Requirements, id) })
	}
	if len(c.left) > 0 {
		c.run.Deselected = &reports.Deselection{Filter: c.court.conditions.LabelFilter}
		for _, sc := range c.left {
			c.run.Deselected.Scenarios = append(c.run.Deselected.Scenarios, sc.ID)
		}
	}
	for _, known := range Catalogue().Requirements {
		switch r := known.Requirement; {
		case !c.court.profile.Asks(r):
		case judges(c.left, r.ID) && !judges(c.selected, r.ID):
			c.run.Deselected.Requirements = append(c.run.Deselected.Requirements, r)
		default:
			c.run.Requirements = append(c.run.Requirements, r)
		}
	}
}

// figures adds what a scenario shows to the run.
func (c *composer) figures(f Figures) {
	run := c.run
	run.Latencies = append(run.Latencies, f.Latencies...)
	run.Timelines = append(run.Timelines, f.Timelines...)
	run.Hops = append(run.Hops, f.Hops...)
	run.Integrity = append(run.Integrity, f.Integrity...)
	run.Rasters = append(run.Rasters, f.Rasters...)
	run.Recoveries = append(run.Recoveries, f.Recoveries...)
	run.Resources = append(run.Resources, f.Resources...)
	run.Comparisons = append(run.Comparisons, f.Comparisons...)
	run.Devices = mergeDevices(run.Devices, f.Devices)
	if f.Rig != nil {
		run.Rig = worse(run.Rig, *f.Rig)
	}
	if f.SUT != nil {
		run.SUT = *f.SUT
	}
}

// worse folds the rig's own figures of several scenarios: the worst of each
// figure, the sum of what was offered and achieved.
func worse(a, b reports.RigHealth) reports.RigHealth {
	if a == (reports.RigHealth{}) {
		return b
	}
	most := func(x, y reports.Float) reports.Float {
		if x >= y || math.IsNaN(float64(y)) {
			return x
		}
		return y // also when x is NaN
	}
	return reports.RigHealth{
		SlipP50: most(a.SlipP50, b.SlipP50), SlipP99: most(a.SlipP99, b.SlipP99), SlipMax: most(a.SlipMax, b.SlipMax),
		Offered: a.Offered + b.Offered, Achieved: a.Achieved + b.Achieved,
		HiccupP99: most(a.HiccupP99, b.HiccupP99), HiccupMax: most(a.HiccupMax, b.HiccupMax),
		FloorP50: most(a.FloorP50, b.FloorP50), FloorP99: most(a.FloorP99, b.FloorP99), FloorP999: most(a.FloorP999, b.FloorP999),
		ClockRead: most(a.ClockRead, b.ClockRead), ClockSource: cmp.Or(a.ClockSource, b.ClockSource),
		GCPauseMax: most(a.GCPauseMax, b.GCPauseMax), Uncertainty: most(a.Uncertainty, b.Uncertainty),
	}
}

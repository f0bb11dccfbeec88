package spec

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
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
	opts           Options
	rig            *harness.Rig
	selected, left []Scenario
	started        time.Time

	run     *reports.Run
	partial []string
	// Of the last scenario that met it, "" for none.
	unavailable, noBench, brokeOff string
	noSpace                        bool
	where                          string // the disk was full, in the first scenario that met it
}

func (c *composer) compose(ctx context.Context, report types.Report) (*reports.Run, error) {
	c.run = &reports.Run{
		Schema: reports.SchemaVersion, ID: c.opts.ID, Started: c.started.UTC(), Seed: c.opts.Seed,
		Profile: c.opts.Profile.Report(), Tool: c.opts.Tool, Deviations: c.opts.Deviations,
		Certifying:  c.opts.Profile.Certifies && len(c.left) == 0,
		Environment: Environment(ctx),
		SUT:         c.rig.SUTInfo(),
	}
	if c.run.ID == "" {
		c.run.ID = filepath.Base(c.opts.Dir)
	}
	for _, known := range Catalogue().Requirements {
		c.run.Requirements = append(c.run.Requirements, known.Requirement)
	}
	c.outcomes(report)
	c.deselected()
	evidence, err := Evidence(c.opts.Dir)
	if err != nil {
		c.partial = append(c.partial, err.Error())
	}
	c.run.Evidence = evidence
	c.run.Finished = time.Now().UTC()
	// Asked once, so that run and error agree.
	interrupted := ctx.Err() != nil
	if interrupted {
		c.partial = append([]string{"interrupted"}, c.partial...)
	}
	c.run.Partial = strings.Join(c.partial, "; ")
	c.run.Overall = c.run.Judge()
	return c.run, c.err(interrupted, err)
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

// outcomes gathers what the selected scenarios left behind, in their order.
func (c *composer) outcomes(report types.Report) {
	byID := map[string]types.SpecReport{}
	for _, r := range report.SpecReports {
		for _, sc := range c.selected {
			if slices.Contains(r.Labels(), sc.ID) && r.LeafNodeType == types.NodeTypeIt {
				byID[sc.ID] = r
			}
		}
	}
	for _, sc := range c.selected {
		r := byID[sc.ID]
		out, found := outcomeOf(r, sc.ID)
		if !found {
			out = c.missing(sc, r)
		}
		for _, problem := range []struct {
			why  string
			keep *string
		}{{out.Unavailable, &c.unavailable}, {out.NoBench, &c.noBench}, {out.BrokeOff, &c.brokeOff}} {
			if problem.why != "" {
				*problem.keep = fmt.Sprintf("scenario %s: %s", sc.ID, oneLine(problem.why))
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
}

// missing is the outcome of a scenario that attached none.
func (c *composer) missing(sc Scenario, r types.SpecReport) Outcome {
	verdict, reason, why := reports.Error, reports.Reason(""), r.FailureMessage()
	switch {
	case r.State.Is(types.SpecStateInterrupted | types.SpecStateSkipped | types.SpecStateAborted):
		verdict, reason, why = reports.Inconclusive, reports.ReasonInterrupted, "the run ended before this scenario"
		c.partial = append(c.partial, fmt.Sprintf("scenario %s did not run", sc.ID))
	case r.State.Is(types.SpecStateTimedout):
		verdict, reason, why = reports.Inconclusive, reports.ReasonBudget, "the time limit of the scenario was over"
	case why == "":
		why = "the scenario left no outcome (state " + r.State.String() + ")"
	}
	out := Outcome{Scenario: sc.ID}
	for _, id := range sc.Requirements {
		out.Results = append(out.Results, reports.Result{
			Requirement: id, Scenario: sc.ID, Verdict: verdict, Reason: reason, Headline: oneLine(why), Reproduce: c.rig.Reproduce(c.opts.Command, sc.ID),
			Sentence: statement(id, verdict, reason, why), Started: r.StartTime, Duration: r.RunTime, Attempt: 1,
		})
	}
	return out
}

// deselected says NOT RUN for every requirement that nothing selected judges.
func (c *composer) deselected() {
	judged := map[string]bool{}
	for _, r := range c.run.Results {
		judged[r.Requirement] = true
	}
	for _, sc := range c.left {
		for _, id := range sc.Requirements {
			if judged[id] {
				continue
			}
			judged[id] = true
			why := fmt.Sprintf("deselected by the label filter %q", c.opts.LabelFilter)
			c.run.Results = append(c.run.Results, reports.Result{
				Requirement: id, Scenario: sc.ID, Verdict: reports.NotRun, Headline: "deselected", Attempt: 1,
				Sentence: statement(id, reports.NotRun, "", why), Started: c.started,
			})
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

package spec

import (
	"fmt"
	"math"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// uncertainty returns the budget of the run. What the clocks of agents and pages added
// is what the guard of a latency has beyond that of the profile; informative ones may
// have more in it, such as a frame.
func uncertainty(p *profile.Profile, results []reports.Result) *reports.Uncertainty {
	applied := max(p.Gates.Guard, oracle.OneHostUncertainty)
	clocks := time.Duration(0)
	for _, r := range results {
		known, _ := Requirement(r.Requirement)
		if m := r.Measurement; m != nil && m.Quantile > 0 && m.Unit == "ms" && known.Requirement.Class != reports.Optional {
			clocks = max(clocks, time.Duration(math.Round(m.Guard*1e6))-applied)
		}
	}
	return oracle.Budget(applied, clocks, p.Gates.GuardNote)
}

// gates words the validity gates as the profile sets them.
func gates(p *profile.Profile) []reports.Gate {
	g := p.Gates
	list := []reports.Gate{
		{Code: reports.ReasonGenerator, Text: fmt.Sprintf("At least %.4g %% of the schedule was sent, and the p99 of the send slip is at most %.3g %% of the limit.", 100*g.Offered, 100*g.Slip)},
		{Code: reports.ReasonRig, Text: "At the judged quantile the rig itself adds at most a fifth of the limit (a tenth is remarked), and it ran while what is above the limit was on its way."},
		{Code: reports.ReasonClock, Text: "A reading of the clock takes at most 150 ns, nothing arrives before it was sent, and the clocks of agents and pages are known to a fifth of the limit."},
		{Code: reports.ReasonEnvironment, Text: "What a witness at the broker already saw go wrong is not held against the system under test."},
		{Code: reports.ReasonSamples, Text: fmt.Sprintf("There are the samples that requirement and decision rule ask for, after correction for dependence over at least %d blocks of time.", g.Blocks)},
	}
	if g.Steady {
		list = append(list, reports.Gate{Code: reports.ReasonNonstationary, Text: "Latency does not drift during the run."})
	}
	return append(list,
		reports.Gate{Code: reports.ReasonBudget, Text: "The scenario ends within its time limit."},
		reports.Gate{Code: reports.ReasonSUT, Text: "The system under test starts and is still there at the end."},
		reports.Gate{Code: reports.ReasonInterrupted, Text: "The run goes to its end and the recording is whole."},
	)
}

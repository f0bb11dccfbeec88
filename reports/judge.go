package reports

import (
	"fmt"
	"slices"
)

// Judgement is what a run says about one requirement: the verdict that stands
// after all its results were weighed.
type Judgement struct {
	Requirement Requirement
	Verdict     Verdict // NotRun when no result exists
	Reason      Reason  // of the deciding result; empty unless INCONCLUSIVE
	Deciding    *Result // the worst result that stands; nil when none exists
	Standing    []*Result
	Superseded  []*Result // attempts voided by a validity gate and repeated
	Listed      bool      // false when results name a requirement that the run does not list
	// Decides says that the overall verdict hangs on this one: the requirement is not
	// Optional, or all that the run is asked for is (see Run.Informative). An ERROR decides in any case.
	Decides bool
}

// Voids reports whether an INCONCLUSIVE for this reason means that the attempt
// itself was invalid, so that a repetition may take its place. Too few samples
// or an exhausted budget do not void: repeating until it fits is not allowed.
func (r Reason) Voids() bool {
	switch r {
	case ReasonRig, ReasonClock, ReasonGenerator, ReasonEnvironment, ReasonNonstationary:
		return true
	default:
		return false
	}
}

// Judgements returns one Judgement per requirement in the order of
// r.Requirements, then one per unlisted requirement id found in the results.
//
// Several scenarios may judge one requirement: the worst counts. Within one
// scenario a later attempt replaces an earlier one only when the earlier was
// voided by a validity gate (see Reason.Voids); a FAIL is never replaced.
func (r *Run) Judgements() []Judgement {
	byID := make(map[string][]*Result, len(r.Requirements))
	var unlisted []string
	known := make(map[string]bool, len(r.Requirements))
	for _, req := range r.Requirements {
		known[req.ID] = true
	}
	for i := range r.Results {
		id := r.Results[i].Requirement
		if !known[id] && byID[id] == nil {
			unlisted = append(unlisted, id)
		}
		byID[id] = append(byID[id], &r.Results[i])
	}
	out := make([]Judgement, 0, len(r.Requirements)+len(unlisted))
	for _, req := range r.Requirements {
		j := judge(req, byID[req.ID])
		j.Listed = true
		out = append(out, j)
	}
	for _, id := range unlisted {
		out = append(out, judge(Requirement{ID: id, Title: id, Class: Mandatory}, byID[id]))
	}
	only := r.Informative() && len(unlisted) == 0
	for i := range out {
		out[i].Decides = only || out[i].Requirement.Class != Optional
	}
	return out
}

// Informative reports whether all that the run asks for is Optional, by the user's
// selection or because its profile asks for nothing else: then that decides, for whoever
// chose it asks for it. A run that may certify is none, and one without requirements.
func (r *Run) Informative() bool {
	return !r.Certifying && len(r.Requirements) > 0 && !slices.ContainsFunc(r.Requirements, func(req Requirement) bool { return req.Class != Optional })
}

// judge weighs all results of one requirement.
func judge(req Requirement, results []*Result) Judgement {
	j := Judgement{Requirement: req}
	for _, res := range results {
		if superseded(res, results) {
			j.Superseded = append(j.Superseded, res)
			continue
		}
		j.Standing = append(j.Standing, res)
		if j.Deciding == nil || res.Verdict.severity() > j.Deciding.Verdict.severity() {
			j.Deciding = res
		}
	}
	if j.Deciding != nil {
		j.Verdict = j.Deciding.Verdict
		j.Reason = j.Deciding.Reason
	}
	return j
}

// superseded reports whether a later attempt of the same scenario takes the
// place of res.
func superseded(res *Result, all []*Result) bool {
	if res.Verdict != Inconclusive || !res.Reason.Voids() {
		return false
	}
	for _, other := range all {
		if other.Scenario == res.Scenario && other.Attempt > res.Attempt {
			return true
		}
	}
	return false
}

// Judge returns the overall verdict: the worst of all requirements that the run
// lists, apart from the Optional; where it asks for those alone, theirs (see
// Informative). It is a pure function of the run and fails closed:
//   - an ERROR is a fault of the test equipment and voids the run, also where the
//     requirement is Optional;
//   - a requirement without a result counts as NOT RUN;
//   - N/A counts as NOT RUN unless the requirement is Conditional on a
//     capability that the system does not declare;
//   - a run in which no requirement decides is NOT RUN;
//   - a partial run is at best INCONCLUSIVE.
func (r *Run) Judge() Verdict {
	var deciding []Verdict
	for _, j := range r.Judgements() {
		switch {
		case !j.Decides && j.Verdict != Error:
		case j.Verdict != NotApplicable:
			deciding = append(deciding, j.Verdict)
		case !r.exempt(j.Requirement) && j.Requirement.Class != Optional:
			deciding = append(deciding, NotRun)
		}
	}
	if r.Partial != "" {
		deciding = append(deciding, Inconclusive)
	}
	return Worst(deciding...)
}

// exempt reports whether N/A is an answer to the requirement.
func (r *Run) exempt(req Requirement) bool {
	return req.Class == Conditional && !slices.Contains(r.SUT.Capabilities, req.Capability)
}

// Counts is how many requirements ended with which verdict.
type Counts struct {
	Total    int             // requirements, including unlisted ones
	By       map[Verdict]int // verdict → requirements; absent means 0
	Findings int             // of all results
}

// Count tallies the judgements of the run.
func (r *Run) Count() Counts {
	c := Counts{By: make(map[Verdict]int)}
	for _, j := range r.Judgements() {
		c.Total++
		c.By[j.Verdict]++
	}
	for i := range r.Results {
		c.Findings += len(r.Results[i].Findings)
	}
	return c
}

// String returns the published totals, without a line end. Its form is an
// interface for grep: every verdict appears, also with 0.
func (c Counts) String() string {
	return fmt.Sprintf("%d requirements: %d PASS, %d FAIL, %d ERROR, %d INCONCLUSIVE, "+
		"%d CONDITIONAL FAIL, %d CONDITIONAL PASS, %d NOT RUN, %d N/A",
		c.Total, c.By[Pass], c.By[Fail], c.By[Error], c.By[Inconclusive],
		c.By[ConditionalFail], c.By[ConditionalPass], c.By[NotRun], c.By[NotApplicable])
}

// Certified reports whether the run may be shown as a certificate: it earned one, and
// nothing kept whoever sealed it from giving it.
func (r *Run) Certified() bool { return r.Earned() && r.Uncertified == "" }

// Earned reports whether the run earned a certificate: a whole run of a certifying
// profile, nothing deselected, overall PASS.
func (r *Run) Earned() bool {
	return r.Certifying && r.Deselected == nil && r.Partial == "" && r.Judge() == Pass
}

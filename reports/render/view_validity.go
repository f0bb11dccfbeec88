package render

import (
	"fmt"
	"sort"
	"strconv"
	"time"

	"plumbline/reports"
)

// gateView is one validity gate: what must hold, what this run showed, and what it
// left undecided.
type gateView struct {
	Code  reports.Reason
	Text  string
	Found string
	Hits  []requirementView // with a standing or repeated result for that reason
}

// gateMeanings are for runs that do not word their gates.
var gateMeanings = map[reports.Reason]string{
	reports.ReasonSamples: "There are enough effective samples.", reports.ReasonRig: "The rig's own noise is far from the limit.",
	reports.ReasonClock: "The clock can be trusted.", reports.ReasonGenerator: "The generator kept its schedule.",
	reports.ReasonEnvironment:   "The fault was not visible before the system under test.",
	reports.ReasonNonstationary: "The figures did not drift during the run.", reports.ReasonBudget: "There was time enough for a decision.",
	reports.ReasonSUT: "The system under test was available.", reports.ReasonInterrupted: "The run was not interrupted.",
}

// viewGates lists the gates of the run, then those that only results name.
func viewGates(run *reports.Run, all []requirementView) (out []gateView) {
	hits := map[reports.Reason][]requirementView{}
	for _, r := range all {
		seen := map[reports.Reason]bool{}
		for _, res := range r.Results {
			if res.Reason != "" && !seen[res.Reason] {
				seen[res.Reason] = true
				hits[res.Reason] = append(hits[res.Reason], r)
			}
		}
	}
	add := func(code reports.Reason, text string) {
		out = append(out, gateView{Code: code, Text: text, Found: gateFound(code, run.Rig, len(hits[code])), Hits: hits[code]})
		delete(hits, code)
	}
	for _, g := range run.Gates {
		add(g.Code, g.Text)
	}
	rest := make([]string, 0, len(hits))
	for code := range hits {
		rest = append(rest, string(code))
	}
	sort.Strings(rest)
	for _, code := range rest {
		add(reports.Reason(code), gateMeanings[reports.Reason(code)])
	}
	return out
}

// gateFound says what the run showed of a gate.
func gateFound(code reports.Reason, rig reports.RigHealth, hits int) string {
	switch {
	case code == reports.ReasonGenerator && rig.Offered > 0:
		return fmt.Sprintf("%s %% sent over all scenarios, slip p99 %s in the worst", number(100*float64(rig.Achieved)/float64(rig.Offered)), measured(rig.SlipP99, "ms"))
	case code == reports.ReasonRig && rig.FloorP99 > 0:
		return fmt.Sprintf("noise floor p99 %s, p99.9 %s; longest hiccup %s", measured(rig.FloorP99, "ms"), measured(rig.FloorP999, "ms"), measured(rig.HiccupMax, "ms"))
	case code == reports.ReasonClock && rig.ClockRead > 0:
		return fmt.Sprintf("%s a reading of %s", measured(rig.ClockRead, "ns"), rig.ClockSource)
	case hits == 0:
		return "held"
	default:
		return "did not hold everywhere"
	}
}

// attemptView is one attempt at one scenario in the ledger of the run.
type attemptView struct {
	Scenario string
	Number   int
	Started  string // after the start of the run
	Took     string
	Results  string
	Counted  string
	Void     bool
}

// viewAttempts lists every attempt at every scenario, in the order of time, and
// whether it counted.
func viewAttempts(run *reports.Run, judgements []reports.Judgement) []attemptView {
	void := map[*reports.Result]bool{}
	for _, j := range judgements {
		for _, res := range j.Superseded {
			void[res] = true
		}
	}
	var all []*attempt
	index := map[attemptKey]*attempt{}
	for i := range run.Results {
		res := &run.Results[i]
		k := attemptKey{res.Scenario, res.Attempt}
		if index[k] == nil {
			index[k] = &attempt{attemptKey: k, started: res.Started, counts: reports.Counts{By: map[reports.Verdict]int{}}}
			all = append(all, index[k])
		}
		index[k].enter(res, void[res])
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].started.Before(all[j].started) })
	out := make([]attemptView, 0, len(all))
	for _, a := range all {
		out = append(out, a.view(run.Started))
	}
	return out
}

type attemptKey struct {
	scenario string
	number   int
}

// attempt gathers the results of one attempt.
type attempt struct {
	attemptKey
	started time.Time
	took    time.Duration
	counts  reports.Counts
	voided  int            // of its results
	gate    reports.Reason // that voided them
}

func (a *attempt) enter(res *reports.Result, void bool) {
	a.counts.Total++
	a.counts.By[res.Verdict]++
	a.took = max(a.took, res.Duration)
	if void {
		a.voided++
		a.gate = res.Reason
	}
}

func (a *attempt) view(began time.Time) attemptView {
	v := attemptView{Scenario: a.scenario, Number: a.number, Took: span(a.took), Results: tally(a.counts), Counted: "counted", Void: a.voided > 0}
	if d := a.started.Sub(began); d >= 0 {
		v.Started = "+" + span(d)
	}
	if a.voided > 0 {
		v.Counted = "voided by gate " + string(a.gate) + " and repeated"
		if left := a.counts.Total - a.voided; left > 0 {
			v.Counted += "; " + strconv.Itoa(left) + " of its results stand"
		}
	}
	return v
}

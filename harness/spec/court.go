package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// court judges attempts from what they left in a run directory. It is the one
// way to a verdict: a run uses it after each attempt, and whoever judges a
// stored run again uses it too.
type court struct {
	dir        string // of the run; "" for a rig that keeps nothing
	conditions *Conditions
	profile    *profile.Profile
	twice      bool // see EmitOptions
}

// settle keeps an attempt and judges what was kept. When it cannot be kept
// nothing is judged.
func (c *court) settle(sc Scenario, a *attempt) Outcome {
	kept, err := a.keep(c.dir)
	if err != nil {
		a.Ending.note(err, c.dir)
		a.Ending.Whole = false
		kept = a
	}
	out := c.judge(sc, kept)
	if c.twice {
		out = c.sameAgain(sc, kept, out)
	}
	return out
}

// sameAgain judges once more and returns the outcome, or one of ERRORs when it
// was another: whoever recomputes the run could not get it again.
func (c *court) sameAgain(sc Scenario, a *attempt, out Outcome) Outcome {
	first, err := out.encode()
	again, errAgain := c.judge(sc, a).encode()
	if err == nil && errAgain == nil && first == again {
		return out
	}
	return c.broken(sc, a, fmt.Errorf("the judge of scenario %q is no pure function of the run directory: it gave %s and then %s", sc.ID, first, again))
}

// again judges every attempt at a scenario that the run directory holds; none
// is an error.
func (c *court) again(sc Scenario) (Outcome, error) {
	var all Outcome
	for n := 1; ; n++ {
		a, err := readAttempt(c.dir, sc.ID, n)
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("spec: attempt %d at scenario %q: %w", n, sc.ID, err)
		}
		all = all.then(c.judge(sc, a))
	}
}

// then is the outcome of a scenario after one more attempt: the results of all
// attempts, everything else from the last.
func (o Outcome) then(last Outcome) Outcome {
	last.Results = append(o.Results, last.Results...)
	last.damage = append(o.damage, last.damage...)
	return last
}

// judge settles every requirement of the scenario for one attempt: what its
// judge said, N/A for what the system does not claim, and a verdict that names
// the reason for what was left open.
func (c *court) judge(sc Scenario, a *attempt) Outcome {
	k := &Case{Scenario: sc, Profile: c.profile, conditions: c.conditions, attempt: a, dir: c.dir}
	how := a.Ending
	if how.Whole {
		c.hear(k, &how)
	}
	c.identify(k)
	out := Outcome{
		Scenario: sc.ID, Figures: k.figures, Unavailable: how.Unavailable, NoBench: how.NoBench, NoSpace: how.NoSpace,
		NotBegun: how.NotBegun, failure: how.Failure, damage: k.damage,
	}
	verdict, reason, why := how.open(a.Duration)
	judged, left := map[string]bool{}, 0
	for _, r := range k.results {
		judged[r.Requirement] = true
		out.Results = append(out.Results, c.complete(a, r))
	}
	c.remark(k, out.Results)
	for _, id := range sc.Requirements {
		lacked := c.conditions.lacks(sc, id)
		switch {
		case judged[id], !asks(c.profile, id):
		case lacked != "":
			out.Results = append(out.Results, c.complete(a, notApplicable(id, lacked)))
		default:
			left++
			out.Results = append(out.Results, c.complete(a, unjudged(id, verdict, reason, why)))
		}
	}
	if left == 0 && out.Unavailable == "" && out.NoBench == "" && how.NoClock == "" && (how.Panic != "" || how.Failure != "") {
		out.BrokeOff = why // no verdict tells of it
	}
	return c.encodable(sc, a, out).voided()
}

// hear calls the judge of the scenario and keeps how it ended.
func (c *court) hear(k *Case, how *ending) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case ended:
			how.note(e.err, c.dir)
			if errors.Is(e.err, record.ErrCorrupt) || errors.Is(e.err, fs.ErrNotExist) {
				k.damage = append(k.damage, fmt.Errorf("spec: scenario %q: %w", k.Scenario.ID, e.err))
			}
		default:
			how.Panic = fmt.Sprint(e)
		}
	}()
	runtime.GC() // so that no recording judged before is still there when this one is read
	k.Scenario.Judge(k)
}

// identify shows the system under test as the last bench saw it, and what it used
// on each. A bench that left nothing is no news: the attempt tells why.
func (c *court) identify(k *Case) {
	for _, folder := range k.attempt.Benches {
		r, err := harness.OpenRecorded(c.dir, folder)
		if err != nil {
			continue
		}
		k.Show(Figures{SUT: &r.SUT})
		if used, ok := r.Resources(k.Scenario.ID); ok {
			k.Show(Figures{Resources: []reports.Resources{used}})
		}
	}
}

// remark adds to the first result what the system did wrong when it was told to
// end. No requirement is about that; it decides nothing.
func (c *court) remark(k *Case, results []reports.Result) {
	if len(results) == 0 {
		return
	}
	known := map[sut.Lapse]bool{}
	for _, folder := range k.attempt.Benches {
		r, err := harness.OpenRecorded(c.dir, folder)
		if err != nil {
			continue // the attempt tells why
		}
		for _, l := range r.Lapses {
			if !known[l] { // once is enough: the same program does the same each time
				known[l] = true
				results[0].Findings = append(results[0].Findings, reports.Finding{
					Requirement: results[0].Requirement, Kind: "lapse", Subject: l.Process,
					Detail: fmt.Sprintf("process %q %s; its log says more", l.Process, l.Detail), Evidence: path.Join(harness.LogsFolder, folder, l.Process+".log"),
				})
			}
		}
	}
}

// open says what becomes of a requirement that was not judged.
func (e ending) open(took time.Duration) (reports.Verdict, reports.Reason, string) {
	switch {
	case e.NotBegun:
		return reports.Inconclusive, reports.ReasonInterrupted, "the run ended before this scenario"
	case e.Interrupted:
		return reports.Inconclusive, reports.ReasonInterrupted, "the run was interrupted"
	case e.Unavailable != "":
		return reports.Inconclusive, reports.ReasonSUT, e.Unavailable
	case e.NoBench != "":
		return reports.Inconclusive, reports.ReasonRig, e.NoBench
	case e.NoClock != "":
		return reports.Inconclusive, reports.ReasonClock, e.NoClock
	case e.Overtime:
		return reports.Inconclusive, reports.ReasonBudget, fmt.Sprintf("the time limit of the scenario was over after %s", took.Round(time.Second))
	case e.Failure != "":
		return reports.Error, "", e.Failure
	case e.Panic != "":
		return reports.Error, "", "panic: " + e.Panic
	default:
		return reports.Error, "", "the scenario ended without judging it"
	}
}

// complete fills in what is the same for every result of the attempt.
func (c *court) complete(a *attempt, r reports.Result) reports.Result {
	r.Scenario = a.Scenario
	if r.Started.IsZero() {
		r.Started = a.Started
	}
	if r.Duration == 0 {
		r.Duration = a.Duration
	}
	r.Attempt = max(a.Number, 1)
	r.Procedure = append([]string(nil), a.Steps...)
	r.Reproduce = c.conditions.reproduce(a.Scenario)
	return r
}

// encodable returns the outcome, or one of ERRORs when it holds figures that
// cannot be written.
func (c *court) encodable(sc Scenario, a *attempt, out Outcome) Outcome {
	if _, err := json.Marshal(out); err != nil {
		return c.broken(sc, a, err)
	}
	return out
}

// broken is the outcome of an attempt whose judgement cannot stand.
func (c *court) broken(sc Scenario, a *attempt, err error) Outcome {
	bad := Outcome{Scenario: sc.ID, failure: err.Error()}
	for _, id := range sc.Requirements {
		bad.Results = append(bad.Results, c.complete(a, unjudged(id, reports.Error, "", err.Error())))
	}
	return bad
}

// voided marks the outcome of an attempt that a validity gate voided. What it
// left undecided for want of samples goes along: those that it had are void as
// well, so that a repetition takes its place.
func (o Outcome) voided() Outcome {
	if o.void = voiding(o.Results) != "" && o.NoBench == ""; o.void {
		void(o.Results, voiding(o.Results))
	}
	return o
}

// voiding returns the validity gate that voided an attempt, "" for none.
func voiding(results []reports.Result) reports.Reason {
	for _, r := range results {
		if r.Verdict == reports.Inconclusive && r.Reason.Voids() {
			return r.Reason
		}
	}
	return ""
}

func void(results []reports.Result, gate reports.Reason) {
	for i := range results {
		if r := &results[i]; r.Verdict == reports.Inconclusive && r.Reason == reports.ReasonSamples {
			r.Reason = gate
			r.Sentence += fmt.Sprintf(" The attempt as a whole was voided by gate %s.", gate)
		}
	}
}

func notApplicable(id, capability string) reports.Result {
	why := fmt.Sprintf("the system under test does not claim the capability %q", capability)
	if lacking := sut.Lacking(capability); lacking != "" { // nobody can claim it
		why = fmt.Sprintf("it cannot be asked of the system under test: %s", lacking)
	}
	return reports.Result{Requirement: id, Verdict: reports.NotApplicable, Sentence: statement(id, reports.NotApplicable, "", why), Headline: why}
}

// unjudged is the result of a requirement that no oracle judged.
func unjudged(id string, v reports.Verdict, reason reports.Reason, why string) reports.Result {
	return reports.Result{Requirement: id, Verdict: v, Reason: reason, Sentence: statement(id, v, reason, why), Headline: oneLine(why)}
}

// statement is the full sentence of a requirement that no oracle judged.
func statement(id string, v reports.Verdict, reason reports.Reason, why string) string {
	why = strings.TrimRight(oneLine(why), ".")
	switch v {
	case reports.Error:
		return fmt.Sprintf("%s: test equipment fault; no statement about conformity: %s.", id, why)
	case reports.NotApplicable:
		return fmt.Sprintf("%s: not applicable: %s.", id, why)
	default:
		return fmt.Sprintf("%s: no statement about conformity; reason %s: %s.", id, reason, why)
	}
}

// oneLine joins the lines of a text, such as the last words of a process, so
// that it can stand in a sentence.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " | ")
}

package archive

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/reports"
	"plumbline/reports/render"
)

// Outcome is what the past of a series, of a requirement or of a system says.
type Outcome string

// The outcomes, in the words of the comparison of two versions.
const (
	Regression  Outcome = "regression"  // announced, and not withdrawn by a recovery
	Undecided   Outcome = "undecided"   // no statement: too few runs, or a change that has to persist
	Improvement Outcome = "improvement" // the newest change was to the better
	None        Outcome = "none"        // nothing changed
)

// worst returns the first of the outcomes in the order of their weight.
func worst(all ...Outcome) Outcome {
	for _, o := range []Outcome{Regression, Undecided, Improvement, None} {
		if slices.Contains(all, o) {
			return o
		}
	}
	return Undecided
}

// Hysteresis: what is announced has lasted, and what is withdrawn is over.
const (
	Persist       = 5 // runs for which a figure keeps a new level before it is announced or withdrawn
	FailsAnnounce = 2 // FAILs of a requirement without RunsWithdraw PASSes between them
	RunsWithdraw  = 3 // PASSes in a row that end it
)

// Series is one figure over the runs of a system, in the order in which they were
// started. Smaller is better.
type Series struct {
	Requirement string        `json:"requirement"`
	Title       string        `json:"title"`
	Scenario    string        `json:"scenario"`
	Unit        string        `json:"unit"`
	Quantile    float64       `json:"quantile,omitempty"`
	Informative bool          `json:"informative,omitempty"` // decides nothing
	Limit       reports.Float `json:"limit"`                 // of the newest run
	Uncertainty float64       `json:"uncertainty"`           // the largest U of a figure, in Unit
	Points      []Point       `json:"points"`
	Changes     []Change      `json:"changes"`
	Outcome     Outcome       `json:"outcome"`
	Why         string        `json:"why"`
	Since       string        `json:"since,omitempty"` // id of the run at which a regression began
}

// Point is the figure of one run.
type Point struct {
	Run     string        `json:"run"`
	Started time.Time     `json:"started"`
	Value   reports.Float `json:"value"`
}

// Change is a change-point.
type Change struct {
	Index  int           `json:"index"` // of the first point after it
	Run    string        `json:"run"`
	Before reports.Float `json:"before"` // median of the stretch before
	After  reports.Float `json:"after"`
	Share  reports.Float `json:"share"`           // by which share After is above Before
	Chance float64       `json:"chance"`          // that as large a change is seen in runs that do not change
	Bench  string        `json:"bench,omitempty"` // what of the machine or rig changed with the same run
}

// Worse reports whether the figure became larger.
func (c Change) Worse() bool { return c.After > c.Before }

// judge finds the change-points of the series and what they come to. beside says what
// else changed with a run at which a figure changed by a share; "" when nothing did.
func (s *Series) judge(beside func(run, unit string, share float64) string) {
	values := make([]float64, len(s.Points))
	for i, p := range s.Points {
		values[i] = float64(p.Value)
	}
	s.Changes = []Change{}
	for _, c := range changes(values, s.Uncertainty) {
		run, share := s.Points[c.at].Run, c.after/c.before-1
		s.Changes = append(s.Changes, Change{
			Index: c.at, Run: run, Before: reports.Float(c.before), After: reports.Float(c.after),
			Share: reports.Float(share), Chance: c.chance, Bench: beside(run, s.Unit, share),
		})
	}
	s.Outcome, s.Why, s.Since = s.standing()
}

// standing goes through the stretches between change-points. A stretch that does not
// last is a blip; a worse level is a regression until one comes that is as good as
// the one before it was.
func (s *Series) standing() (o Outcome, why, since string) {
	if n := len(s.Points); n < MinRuns {
		return Undecided, fmt.Sprintf("%d runs; %d are needed: %d are missing", n, MinRuns, MinRuns-n), ""
	}
	if len(s.Changes) == 0 {
		why := fmt.Sprintf("no change in %d runs", len(s.Points))
		if level := middle(s.values()); s.Uncertainty > MinStep*math.Abs(level) {
			why += fmt.Sprintf(" beyond the uncertainty of %s", render.Quantity(s.Uncertainty, s.Unit))
		}
		return None, why, ""
	}
	good, bad := float64(s.Changes[0].Before), -1 // the level that counts as good; the change that left it
	o, why = None, "as before"
	for i, c := range s.Changes {
		end := len(s.Points)
		if i+1 < len(s.Changes) {
			end = s.Changes[i+1].Index
		}
		step, after := leastStep(good, s.Uncertainty), float64(c.After)
		worse, better := after > good && after-good >= step, after < good && good-after >= step
		lasts := s.runs(c.Index, end, good, step, worse) >= Persist
		switch {
		case bad < 0 && worse && !lasts && end == len(s.Points):
			return Undecided, s.tell(fmt.Sprintf("may be a regression, if it lasts %d runs", Persist), c), c.Run
		case bad < 0 && worse && lasts && c.Bench != "":
			return Undecided, s.tell("the bench changed at the same run ("+c.Bench+"), so it is not known what became slower", c), c.Run
		case bad < 0 && worse && lasts:
			bad = i
		case bad >= 0 && !worse && lasts:
			bad, o, why = -1, None, s.tell("recovered", c)
		}
		if bad < 0 && better && lasts {
			good, o, why = after, Improvement, s.tell("improvement", c)
		}
	}
	if bad >= 0 {
		c := s.Changes[bad]
		return Regression, s.tell("regression", c), c.Run
	}
	return o, why, ""
}

// runs counts the points of a stretch that are worse than the good level, or those
// that are not.
func (s *Series) runs(from, to int, good, step float64, worse bool) (n int) {
	for _, p := range s.Points[from:to] {
		if v := float64(p.Value); (v > good && v-good >= step) == worse {
			n++
		}
	}
	return n
}

// tell puts a change into words.
func (s *Series) tell(what string, c Change) string {
	share := ""
	if v := float64(c.Share); !math.IsNaN(v) && !math.IsInf(v, 0) {
		share = fmt.Sprintf(", %+.1f %%", 100*v)
	}
	return fmt.Sprintf("%s: %s → %s%s, at run %s of %s", what, render.Number(float64(c.Before)), render.Quantity(float64(c.After), s.Unit), share,
		c.Run, s.Points[c.Index].Started.Format(time.DateOnly))
}

// Label names the figure in a few words: "p99 steady".
func (s *Series) Label() string {
	if s.Quantile > 0 {
		return fmt.Sprintf("p%g %s", 100*s.Quantile, s.Scenario)
	}
	return s.Scenario
}

// Flat reports whether the figure never changed at all, as a count of violations
// should not.
func (s *Series) Flat() bool {
	return !slices.ContainsFunc(s.Points, func(p Point) bool { return p.Value != s.Points[0].Value })
}

// Newest is the figure of the newest run.
func (s *Series) Newest() reports.Float { return s.Points[len(s.Points)-1].Value }

// Strip is the verdicts of one requirement over the runs of a system.
type Strip struct {
	Requirement string   `json:"requirement"`
	Title       string   `json:"title"`
	Informative bool     `json:"informative,omitempty"`
	Verdicts    []Ruling `json:"verdicts"`
	Outcome     Outcome  `json:"outcome"`
	Why         string   `json:"why"`
	Since       string   `json:"since,omitempty"` // id of the run at which a regression began
}

// Ruling is the verdict of one run on a requirement.
type Ruling struct {
	Run     string          `json:"run"`
	Started time.Time       `json:"started"`
	Verdict reports.Verdict `json:"verdict"`
}

// judge goes through the verdicts. A requirement that fails now and then is one
// regression, which lasts until it passed several times in a row, and not one that
// comes and goes. What never passed did not regress.
func (s *Strip) judge() {
	passed, failing, passes, first, fails := false, false, 0, "", 0
	for _, v := range s.Verdicts {
		switch v.Verdict {
		case reports.Pass:
			if passes++; passes >= RunsWithdraw || !passed {
				failing, fails, first = false, 0, ""
			}
			passed = true
		case reports.Fail:
			passes = 0
			if fails++; first == "" {
				first = v.Run
			}
			failing = failing || passed && fails >= FailsAnnounce
		}
	}
	switch {
	case !passed && fails > 0:
		s.Outcome, s.Why = None, "fails since the first run"
	case !passed:
		s.Outcome, s.Why = None, "never judged"
	case failing:
		s.Outcome, s.Since = Regression, first
		s.Why = fmt.Sprintf("passed, and failed %d times since run %s", fails, first)
	case fails > 0:
		s.Outcome, s.Since = Undecided, first
		s.Why = fmt.Sprintf("failed in run %s; a second FAIL is a regression, %d PASSes in a row are none", first, RunsWithdraw)
	default:
		s.Outcome, s.Why = None, "passes"
	}
}

// Told reports whether there is more to tell than that nothing changed.
func (s *Strip) Told() bool { return s.Outcome != None }

// Letters writes the verdicts as one letter each, newest last: P pass, F fail, E
// error, and . for what says nothing about the system.
func (s *Strip) Letters() string {
	var b strings.Builder
	for _, v := range s.Verdicts {
		switch v.Verdict {
		case reports.Pass:
			b.WriteByte('P')
		case reports.Fail:
			b.WriteByte('F')
		case reports.Error:
			b.WriteByte('E')
		default:
			b.WriteByte('.')
		}
	}
	return b.String()
}

package events

import (
	"maps"
	"time"

	"plumbline/reports"
)

// State is what the events of a run add up to. The zero value is a run of which
// nothing is known. It is for one goroutine at a time.
type State struct {
	Run      *Run             `json:"run,omitempty"`
	Began    time.Time        `json:"began"`
	At       time.Time        `json:"at"` // of the latest event
	Total    int              `json:"total"`
	Done     int              `json:"done"`
	Families []Family         `json:"families"` // in the order in which they run
	Scenario *Scenario        `json:"scenario,omitempty"`
	Struck   int              `json:"faults_struck"`      // since the run began
	Notable  []Notable        `json:"notable"`            // the latest results that are no PASS, the newest last
	Left     *float64         `json:"left_s,omitempty"`   // as of At
	Verdict  *reports.Verdict `json:"verdict,omitempty"`  // of a run that ended
	Verdicts map[string]int   `json:"verdicts,omitempty"` // requirements decided so far by verdict
	Partial  string           `json:"partial,omitempty"`  // why the run is not whole
	Exit     *int             `json:"exit,omitempty"`     // of a run that ended
	Report   string           `json:"report,omitempty"`   // path, once it is written
	Dropped  uint64           `json:"dropped,omitempty"`  // events that did not come
	LastSeq  uint64           `json:"last_seq"`           // of the latest event
	waiting  map[string]int   // by requirement: scenarios that still judge it
	judged   map[string]reports.Verdict
}

// Family is how far the requirements of one family are.
type Family struct {
	Name    string          `json:"name"`
	Total   int             `json:"total"`   // requirements that will be judged
	Decided int             `json:"decided"` // by all scenarios that judge them
	Worst   reports.Verdict `json:"worst"`   // so far, of those that decide; NOT RUN before there is any

	judged bool // Worst is of a result
}

// Scenario is the one at work.
type Scenario struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	Index   int       `json:"index"`
	Step    string    `json:"step,omitempty"`
	Began   time.Time `json:"began"`
	Attempt int       `json:"attempt"`           // from 1
	Figures *Figures  `json:"figures,omitempty"` // the latest
	Faults  []Active  `json:"faults,omitempty"`  // that are on, the oldest first
	Past    *Past     `json:"past,omitempty"`    // the fault that ended last
}

// Active is a fault that is on.
type Active struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
}

// Past is a fault that is over.
type Past struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	Ended time.Time `json:"ended"`
	Fired uint64    `json:"fired,omitempty"`
	Error string    `json:"error,omitempty"`
}

// Notable is a result that is no PASS.
type Notable struct {
	Requirement string          `json:"requirement"`
	Scenario    string          `json:"scenario"`
	Verdict     reports.Verdict `json:"verdict"`
	Text        string          `json:"text"` // the first finding, else the headline
}

// maxNotable bounds what State keeps of results.
const maxNotable = 8

// Apply adds an event. What it does not know changes nothing.
func (s *State) Apply(e Event) {
	s.At, s.LastSeq = e.Time, e.Seq
	if e.Left != nil {
		s.Left = e.Left
	}
	switch e.Kind {
	case RunBegan:
		s.begin(&e)
	case ScenarioBegan:
		s.Total = max(s.Total, e.Total)
		s.Scenario = &Scenario{ID: e.Scenario, Title: e.Title, Index: e.Index, Began: e.Time, Attempt: 1}
	case ScenarioFinished:
		s.Done++
		s.Total = max(s.Total, e.Total)
		s.finish(&e)
		s.Scenario = nil
	case RunEnded:
		s.Verdict, s.Exit, s.Partial, s.Scenario, s.Left = e.Verdict, e.Exit, e.Partial, nil, nil
		if e.Counts != nil {
			s.Verdicts = maps.Clone(e.Counts)
		}
	case Reported:
		s.Report = e.Report
	case Dropped:
		s.Dropped += e.Dropped
	default:
		s.during(&e)
	}
}

// during takes what happens within a scenario.
func (s *State) during(e *Event) {
	sc := s.Scenario
	if sc == nil || sc.ID != e.Scenario {
		return
	}
	switch e.Kind {
	case StepBegan:
		sc.Step = e.Step
	case FiguresTaken:
		sc.Figures = e.Figures
	case AttemptVoided:
		sc.Attempt, sc.Figures, sc.Faults = e.Attempt+1, nil, nil
	case FaultBegan:
		if e.Fault != nil {
			s.Struck++
			sc.Faults = append(sc.Faults, Active{Name: e.Fault.Name, Since: e.Time})
		}
	case FaultEnded:
		if e.Fault != nil {
			sc.over(e)
		}
	}
}

// over takes the end of a fault. Of equal ones the oldest ends.
func (sc *Scenario) over(e *Event) {
	for i, f := range sc.Faults {
		if f.Name == e.Fault.Name {
			sc.Faults = append(sc.Faults[:i:i], sc.Faults[i+1:]...)
			sc.Past = &Past{Name: f.Name, Since: f.Since, Ended: e.Time, Fired: e.Fault.Fired, Error: e.Fault.Error}
			return
		}
	}
}

// begin lays out the families. A new run takes the place of all before it.
func (s *State) begin(e *Event) {
	*s = State{Run: e.Run, Began: e.Time, At: e.Time, Total: e.Total, Left: e.Left, LastSeq: e.Seq, waiting: map[string]int{}}
	if e.Run == nil {
		return
	}
	for _, sc := range e.Run.Scenarios {
		for _, id := range sc.Requirements {
			if s.waiting[id]++; s.waiting[id] == 1 {
				s.family(id).Total++
			}
		}
	}
}

// family returns the family of a requirement, which may be new.
func (s *State) family(id string) *Family {
	name := reports.Requirement{ID: id}.Family()
	for i := range s.Families {
		if s.Families[i].Name == name {
			return &s.Families[i]
		}
	}
	s.Families = append(s.Families, Family{Name: name})
	return &s.Families[len(s.Families)-1]
}

// finish takes the results of a scenario. Of several attempts the last counts: the
// ones before were voided.
func (s *State) finish(e *Event) {
	last := 0
	for _, r := range e.Results {
		last = max(last, r.Attempt)
	}
	seen := map[string]bool{}
	for _, r := range e.Results {
		if r.Attempt != last && r.Verdict != reports.Fail && r.Verdict != reports.Error {
			continue
		}
		s.judge(r, !seen[r.Requirement])
		seen[r.Requirement] = true
		if r.Verdict != reports.Pass && r.Verdict != reports.NotApplicable {
			s.note(e.Scenario, r)
		}
	}
}

// judge enters one result; first says that the scenario judged the requirement
// for the first time.
func (s *State) judge(r Result, first bool) {
	f := s.family(r.Requirement)
	have, judged := s.judged[r.Requirement]
	if s.judged == nil {
		s.judged, s.Verdicts = map[string]reports.Verdict{}, map[string]int{}
	}
	worst := r.Verdict
	if judged {
		worst = reports.Worst(have, r.Verdict)
		if s.Verdicts[have.String()]--; s.Verdicts[have.String()] == 0 {
			delete(s.Verdicts, have.String())
		}
	}
	s.judged[r.Requirement] = worst
	s.Verdicts[worst.String()]++
	if !r.Optional || worst == reports.Error {
		if f.judged {
			worst = reports.Worst(f.Worst, worst)
		}
		f.Worst, f.judged = worst, true
	}
	switch left, planned := s.waiting[r.Requirement]; {
	case !planned && !judged: // a run that told no plan
		f.Decided++
	case first && left > 0:
		if s.waiting[r.Requirement]--; left == 1 {
			f.Decided++
		}
	}
	f.Total = max(f.Total, f.Decided)
}

func (s *State) note(scenario string, r Result) {
	text := r.Headline
	if len(r.Findings) > 0 {
		text = r.Findings[0].Kind + " " + r.Findings[0].Subject + ": " + r.Findings[0].Detail
	}
	s.Notable = append(s.Notable, Notable{Requirement: r.Requirement, Scenario: scenario, Verdict: r.Verdict, Text: text})
	if more := len(s.Notable) - maxNotable; more > 0 {
		s.Notable = append([]Notable(nil), s.Notable[more:]...)
	}
}

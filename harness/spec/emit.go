package spec

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// EmitOptions say how scenarios become specs. The zero value is useful.
type EmitOptions struct {
	Context  context.Context // its end interrupts the run; nil means never
	Progress func(Event)     // called one at a time; must not block
	Command  string          // what "how to repeat it" starts with; "" means "plumbline run"
	Tolerate bool            // keep specs green that a busy machine left conditional or inconclusive
	Twice    bool            // judge every attempt twice: a judge that is no pure function of the files is an ERROR
}

// grace is how long a body may take to end when it is told to: time for a
// system under test that does not obey (sut.DefaultStopLimit) and for the rest.
const grace = 40 * time.Second

// emitter carries what all specs of one emission share.
type emitter struct {
	rig   *harness.Rig
	court *court
	opts  EmitOptions
	tell  *teller // nil for nobody
	begun atomic.Int64
	total atomic.Int64

	current atomic.Pointer[Trial] // specs are serial

	mu   sync.Mutex
	down string // why the system under test could not be started: no use to go on
	full bool   // the disk is: whatever else is recorded is lost
}

// Emit turns the scenarios of the catalogue into Ginkgo nodes bound to rig.
// Call it while Ginkgo builds its tree. Every spec carries its outcome as a
// report entry. Emit also installs Gomega's fail handler.
func Emit(rig *harness.Rig, opts EmitOptions) error {
	_, err := emit(rig, opts, &court{dir: rig.Dir(), conditions: conditionsOf(rig, opts.Command), profile: rig.Profile(), twice: opts.Twice}, newTeller(opts.Progress, rig.Profile()))
	return err
}

func emit(rig *harness.Rig, opts EmitOptions, judging *court, tell *teller) (*emitter, error) {
	all, err := Bind(rig)
	if err != nil {
		return nil, err
	}
	e := &emitter{rig: rig, opts: opts, court: judging, tell: tell}
	e.total.Store(int64(len(all)))
	gomega.RegisterFailHandler(e.failed)
	for i, sc := range all {
		// Ginkgo shuffles containers of equal priority.
		ginkgo.Describe(sc.guarantee, ginkgo.Serial, ginkgo.SpecPriority(len(all)-i), ginkgo.Label(sc.AllLabels()...), func() {
			ginkgo.It(sc.Title, ginkgo.SpecTimeout(e.timeout(sc)), ginkgo.GracePeriod(grace), func(ctx ginkgo.SpecContext) {
				e.run(ctx, sc)
			})
		})
	}
	return e, nil
}

// failed is Gomega's fail handler: the scenario at work keeps what was said,
// Ginkgo ends it.
func (e *emitter) failed(message string, skip ...int) {
	if t := e.current.Load(); t != nil {
		t.mu.Lock()
		t.how.Failure = message
		t.mu.Unlock()
	}
	offset := 1
	if len(skip) > 0 {
		offset += skip[0]
	}
	ginkgo.Fail(message, offset)
}

// run is the body of every spec.
func (e *emitter) run(specCtx ginkgo.SpecContext, sc Scenario) {
	ctx, cancel := context.WithCancel(specCtx)
	defer cancel()
	if e.opts.Context != nil {
		defer context.AfterFunc(e.opts.Context, cancel)()
	}
	s := &session{emitter: e, scenario: sc, started: time.Now()}
	e.progress(Event{Kind: ScenarioBegan, Scenario: sc.ID, Title: sc.Title, Index: int(e.begun.Add(1)), Total: int(e.total.Load())})
	// A drive ends by returning, by Ginkgo's own panic after a failed
	// assertion, or by a panic of its own. Its outcome must get out in each case.
	returned := false
	defer func() {
		var panicked any
		if !returned {
			panicked = recover()
			s.take(specCtx, false, panicked)
		}
		s.settle(panicked)
		if panicked != nil {
			panic(panicked)
		}
	}()
	// Only an attempt that a validity gate voided is repeated, and every
	// attempt is reported (metrology, decision 7).
	most := max(e.rig.Profile().Gates.Attempts, 1)
	for n := 1; n <= most; n++ {
		s.begin(n)
		driven := e.ready(s.trial) && e.applies(s.trial)
		if driven {
			sc.Drive(ctx, s.trial)
		}
		s.take(specCtx, driven, nil)
		if !s.outcome.void || ctx.Err() != nil {
			break
		}
		if n < most {
			e.progress(Event{Kind: AttemptVoided, Scenario: sc.ID, Attempt: n, Results: ofAttempt(s.outcome.Results, n)})
		}
	}
	returned = true
}

// ready refuses to start a scenario when the run is over, the system under
// test has proved that it cannot be started, or nothing more can be recorded.
// A system that runs and refuses the viewers of one scenario may serve the next.
func (e *emitter) ready(t *Trial) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down != "" {
		t.how.Unavailable = e.down
		return false
	}
	if e.full {
		t.how.NoBench, t.how.NoSpace = harness.ErrSpace.Error(), true
		return false
	}
	return !e.interrupted()
}

// applies reports whether any requirement of the scenario applies.
func (e *emitter) applies(t *Trial) bool {
	for _, id := range t.Scenario.Requirements {
		if t.Applies(id) {
			return true
		}
	}
	return false
}

// unwanted returns the sentences of the results that keep a spec from being
// green. Nobody judges by its colour; it is there for people and tools that look
// at Ginkgo's own report.
func (e *emitter) unwanted(results []reports.Result) []string {
	var bad []string
	for _, r := range results {
		known, _ := Requirement(r.Requirement)
		if known.Requirement.Class == reports.Optional || r.Verdict == reports.Pass || r.Verdict == reports.NotApplicable || e.tolerates(r) {
			continue
		}
		bad = append(bad, fmt.Sprintf("%s: %s", r.Requirement, r.Sentence))
	}
	return bad
}

// tolerates reports whether the result may be blamed on a busy machine and the
// options allow that. That the system was not there, or that nothing was tried,
// never may.
func (e *emitter) tolerates(r reports.Result) bool {
	switch r.Verdict {
	case reports.ConditionalPass, reports.ConditionalFail:
		return e.opts.Tolerate
	case reports.Inconclusive:
		return e.opts.Tolerate && r.Reason != reports.ReasonSUT && r.Reason != reports.ReasonInterrupted
	default:
		return false
	}
}

func (e *emitter) interrupted() bool { return e.opts.Context != nil && e.opts.Context.Err() != nil }

func (e *emitter) progress(ev Event) { e.tell.event(ev) }

// timeout returns the time limit of a scenario: what its loads take, and in each
// cycle the times that its requirements allow, doubled, and two minutes for
// starting, draining and judging.
func (e *emitter) timeout(sc Scenario) time.Duration {
	if sc.Timeout > 0 {
		return sc.Timeout
	}
	p, total, cycles := e.rig.Profile(), 2*time.Minute, 1
	for _, name := range sc.Loads {
		total += 2 * Length(p.Loads[name])
		cycles = max(cycles, p.Loads[name].Cycles*(1+p.Loads[name].Extend))
	}
	for _, id := range sc.Requirements {
		// Each fault is given twice the limit to be over.
		total += time.Duration(2*cycles*max(sc.Faults, 1)) * p.Limits[id].Time
	}
	return total
}

// Length is about how long a load takes at most.
func Length(l profile.Load) time.Duration {
	one, cycles := l.WarmUp+l.Window+l.Drain, time.Duration(l.Cycles)*(l.Hold+5*time.Second)
	return time.Duration(max(l.Runs, 1)+l.Extend)*one + time.Duration(1+l.Extend)*cycles
}

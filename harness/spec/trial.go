package spec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Figures is what a scenario shows beside its verdicts.
type Figures struct {
	Latencies []reports.Distribution `json:"latencies,omitempty"`
	Timelines []reports.Timeline     `json:"timelines,omitempty"`
	Hops      []reports.Hop          `json:"hops,omitempty"`
	Integrity []reports.Integrity    `json:"integrity,omitempty"`
	Rig       *reports.RigHealth     `json:"rig,omitempty"`
	Devices   []reports.Device       `json:"devices,omitempty"`
	SUT       *reports.SUT           `json:"sut,omitempty"`
}

// Trial is one scenario at work. A body uses it from its own goroutine; only
// Step and Judge may be called from others.
type Trial struct {
	Rig      *harness.Rig
	Scenario Scenario

	emit    *emitter
	started time.Time
	attempt int // from 1

	mu          sync.Mutex
	steps       []string
	results     []reports.Result
	figures     Figures
	unavailable error          // the system under test was not there
	noBench     error          // a part of the bench was not there
	ends        []func() error // of what the body opened
	opened      bool           // it had been there once in this scenario
	failure     string         // why the body ended early
}

// Step begins the next step of the procedure. Steps are printed in the report
// in the order in which they began.
func (t *Trial) Step(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	t.steps = append(t.steps, text)
	n := len(t.steps)
	t.mu.Unlock()
	ginkgo.By(fmt.Sprintf("%d. %s", n, text))
	t.emit.progress(Event{Kind: StepBegan, Scenario: t.Scenario.ID, Title: t.Scenario.Title, Step: text})
}

// Load returns a load of the profile that the scenario named.
func (t *Trial) Load(name string) profile.Load { return t.Rig.Profile().Loads[name] }

// Limit returns the limit of a requirement.
func (t *Trial) Limit(id string) profile.Limit { return t.Rig.Profile().Limits[id] }

// Requirement returns the requirement of that id.
func (t *Trial) Requirement(id string) reports.Requirement {
	known, _ := Requirement(id) // Bind has checked it
	return known.Requirement
}

// Applies reports whether the system under test claims what the requirement
// needs. A requirement that does not apply is N/A already; results for it are
// dropped.
func (t *Trial) Applies(id string) bool {
	r := t.Requirement(id)
	return r.Class != reports.Conditional || t.Rig.Has(r.Capability)
}

// Open starts a fresh system under test with everything around it. It is
// closed when the attempt ends, in which it must still have been alive.
func (t *Trial) Open(ctx context.Context, plan harness.Plan) *harness.Bench {
	ginkgo.GinkgoHelper()
	plan.Name = t.Scenario.ID
	bench, err := t.Rig.Open(ctx, plan)
	t.Check(err)
	t.opened = true
	t.ends = append(t.ends, func() error { return errors.Join(bench.SUT.Err(), bench.Close()) })
	ginkgo.DeferCleanup(bench.Close) // for a body that never ends
	info := bench.SUT.Info()
	t.Show(Figures{SUT: &info})
	return bench
}

// Check ends the scenario when err is not nil. The requirements that have no
// result by then become INCONCLUSIVE (the system under test was not available,
// time ran out, the user interrupted) or ERROR (anything else).
func (t *Trial) Check(err error) {
	ginkgo.GinkgoHelper()
	if err == nil {
		return
	}
	t.note(err)
	ginkgo.Fail(err.Error())
}

// note keeps why the attempt is not whole. The first cause stands.
func (t *Trial) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure == "" {
		t.failure = err.Error()
	}
	switch {
	case t.unavailable != nil || t.noBench != nil:
	case errors.Is(err, sut.ErrUnavailable):
		t.unavailable = err
	case errors.Is(err, harness.ErrBench):
		t.noBench = err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		t.noBench = t.noRoom(err)
	}
}

// noRoom is what a full disk is to the bench: the end of all recording when it
// is that of the run directory, else of what this scenario wanted there.
func (t *Trial) noRoom(err error) error {
	e, found := errors.AsType[*fs.PathError](err)
	switch {
	case !found:
		return fmt.Errorf("%w: %w", harness.ErrBench, err)
	case below(t.Rig.Dir(), e.Path):
		return fmt.Errorf("%w (%w)", harness.ErrSpace, e)
	default:
		return fmt.Errorf("%w: %w", harness.ErrBench, e)
	}
}

// below reports whether a file is in a folder.
func below(dir, path string) bool {
	if dir == "" {
		return false
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// close ends what the body opened, the last first, so that nothing of this
// attempt runs beside the next. What goes wrong here the body did not see.
func (t *Trial) close() {
	for _, end := range slices.Backward(t.ends) {
		if err := end(); err != nil {
			t.note(err)
		}
	}
	t.ends = nil
}

// Judge records results of oracles. Scenario, times, attempt, procedure and
// the command that repeats it are filled in.
func (t *Trial) Judge(results ...reports.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range results {
		if t.Applies(r.Requirement) {
			t.results = append(t.results, r)
		}
	}
}

// Results returns what was judged so far.
func (t *Trial) Results() []reports.Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.results)
}

// Show adds figures to the report.
func (t *Trial) Show(f Figures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := &t.figures
	have.Latencies = append(have.Latencies, f.Latencies...)
	have.Timelines = append(have.Timelines, f.Timelines...)
	have.Hops = append(have.Hops, f.Hops...)
	have.Integrity = append(have.Integrity, f.Integrity...)
	have.Devices = mergeDevices(have.Devices, f.Devices)
	if f.Rig != nil {
		have.Rig = f.Rig
	}
	if f.SUT != nil {
		have.SUT = f.SUT
	}
}

// mergeDevices adds the devices that have does not hold yet.
func mergeDevices(have, more []reports.Device) []reports.Device {
	at := make(map[string]int, len(have))
	for i, d := range have {
		at[d.ID] = i
	}
	for _, d := range more {
		if i, seen := at[d.ID]; seen {
			have[i].Damaged = max(have[i].Damaged, d.Damaged)
			continue
		}
		at[d.ID] = len(have)
		have = append(have, d)
	}
	return have
}

// finish settles every requirement of the scenario: what the body judged,
// N/A for what the system does not claim, and a verdict that names the reason
// for what was left open.
func (t *Trial) finish(ctx context.Context, panicked any) Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Outcome{Scenario: t.Scenario.ID, Figures: t.figures}
	if t.unavailable != nil {
		out.Unavailable = t.unavailable.Error()
	}
	if t.noBench != nil {
		out.NoBench, out.NoSpace = t.noBench.Error(), errors.Is(t.noBench, harness.ErrSpace)
	}
	verdict, reason, why := t.open(ctx, panicked)
	judged, left := map[string]bool{}, 0
	for _, r := range t.results {
		judged[r.Requirement] = true
		out.Results = append(out.Results, t.complete(r))
	}
	for _, id := range t.Scenario.Requirements {
		switch {
		case judged[id]:
		case !t.Applies(id):
			out.Results = append(out.Results, t.complete(t.notApplicable(id)))
		default:
			left++
			out.Results = append(out.Results, t.complete(reports.Result{
				Requirement: id, Verdict: verdict, Reason: reason, Sentence: statement(id, verdict, reason, why), Headline: oneLine(why),
			}))
		}
	}
	if left == 0 && out.Unavailable == "" && out.NoBench == "" && (panicked != nil || t.failure != "") {
		out.BrokeOff = why // no verdict tells of it
	}
	return out
}

// open says what becomes of a requirement that was not judged.
func (t *Trial) open(ctx context.Context, panicked any) (reports.Verdict, reports.Reason, string) {
	switch {
	case t.emit.interrupted():
		return reports.Inconclusive, reports.ReasonInterrupted, "the run was interrupted"
	case t.unavailable != nil:
		return reports.Inconclusive, reports.ReasonSUT, t.unavailable.Error()
	case t.noBench != nil:
		return reports.Inconclusive, reports.ReasonRig, t.noBench.Error()
	case ctx.Err() != nil:
		return reports.Inconclusive, reports.ReasonBudget, fmt.Sprintf("the time limit of the scenario was over after %s", time.Since(t.started).Round(time.Second))
	case t.failure != "":
		return reports.Error, "", t.failure
	case panicked != nil:
		return reports.Error, "", fmt.Sprintf("panic: %v", panicked)
	default:
		return reports.Error, "", "the scenario ended without judging it"
	}
}

func (t *Trial) notApplicable(id string) reports.Result {
	r := t.Requirement(id)
	why := fmt.Sprintf("the system under test does not claim the capability %q", r.Capability)
	return reports.Result{Requirement: id, Verdict: reports.NotApplicable, Sentence: statement(id, reports.NotApplicable, "", why), Headline: why}
}

// complete fills in what is the same for every result of the scenario.
func (t *Trial) complete(r reports.Result) reports.Result {
	r.Scenario = t.Scenario.ID
	if r.Started.IsZero() {
		r.Started = t.started
	}
	if r.Duration == 0 {
		r.Duration = time.Since(t.started)
	}
	r.Attempt = max(t.attempt, 1)
	r.Procedure = append([]string(nil), t.steps...)
	r.Reproduce = t.Rig.Reproduce(t.emit.opts.Command, t.Scenario.ID)
	return r
}

// statement is the full sentence of a requirement that no oracle judged.
func statement(id string, v reports.Verdict, reason reports.Reason, why string) string {
	why = strings.TrimRight(oneLine(why), ".")
	switch v {
	case reports.Error:
		return fmt.Sprintf("%s: test equipment fault; no statement about conformity: %s.", id, why)
	case reports.NotApplicable:
		return fmt.Sprintf("%s: not applicable: %s.", id, why)
	case reports.NotRun:
		return fmt.Sprintf("%s: not run: %s.", id, why)
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

package spec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// Trial is one scenario at work: what a Drive sees. It judges nothing. A drive
// uses it from its own goroutine; only Step may be called from others.
type Trial struct {
	Rig      *harness.Rig
	Scenario Scenario

	emit    *emitter
	started time.Time
	number  int // of the attempt, from 1

	mu      sync.Mutex
	steps   []string
	benches []string        // folders of what was opened
	facts   json.RawMessage // see Keep
	how     ending
	ends    []func() error // of what the drive opened
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

// Applies reports whether the profile asks for the requirement and the system
// under test claims what it needs. For one that does not apply nothing need be
// done.
func (t *Trial) Applies(id string) bool {
	r := t.Requirement(id)
	return t.Rig.Profile().Asks(r) && lacks(t.Scenario, r, t.Rig.Has) == ""
}

// Open starts a fresh system under test with everything around it. It is
// closed when the attempt ends, in which it must still have been alive. What it
// leaves is evidence: Case.Benches returns it to the judge.
func (t *Trial) Open(ctx context.Context, plan harness.Plan) *harness.Bench {
	ginkgo.GinkgoHelper()
	plan.Name, plan.Apart = t.Scenario.ID, t.Scenario.Apart
	bench, err := t.Rig.Open(ctx, plan)
	t.Check(err)
	t.benches = append(t.benches, bench.Folder())
	t.ends = append(t.ends, func() error { return errors.Join(bench.SUT.Err(), bench.Close()) })
	ginkgo.DeferCleanup(bench.Close) // for a drive that never ends
	return bench
}

// OpenMortal is Open for a drive that does to the system what may be the end of
// it, and that keeps for the judge whether it was (Bench.SUT.Err): here that is
// no fault of the attempt. A system that does not start is an error.
func (t *Trial) OpenMortal(ctx context.Context, plan harness.Plan) (*harness.Bench, error) {
	plan.Name, plan.Apart = t.Scenario.ID, t.Scenario.Apart
	bench, err := t.Rig.Open(ctx, plan)
	if err != nil {
		return nil, err
	}
	t.benches = append(t.benches, bench.Folder())
	t.ends = append(t.ends, func() error {
		if err := bench.Close(); bench.SUT.Err() == nil {
			return err
		}
		return nil // what was still to be said to one that died could not be
	})
	ginkgo.DeferCleanup(bench.Close)
	return bench, nil
}

// Keep hands what the drive saw live, and no record holds, to the judge: times
// that closures measured, answers to probes, counts, what went wrong with a
// control. It is kept in the run directory as JSON and read back from there by
// Facts, so give it exported fields and no interfaces; figures that may be NaN or
// infinite are reports.Float, times are time.Duration. Called again it replaces
// what was kept before.
func (t *Trial) Keep(facts any) {
	ginkgo.GinkgoHelper()
	text, err := json.Marshal(facts)
	if err != nil {
		t.Check(fmt.Errorf("spec: facts of scenario %q cannot be kept: %w", t.Scenario.ID, err))
	}
	t.mu.Lock()
	t.facts = text
	t.mu.Unlock()
}

// Check ends the scenario when err is not nil; nothing is judged then. Its
// requirements become INCONCLUSIVE (the system under test was not available,
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
	t.how.note(err, t.Rig.Dir())
}

// close ends what the drive opened, the last first, so that nothing of this
// attempt runs beside the next. What goes wrong here the drive did not see.
func (t *Trial) close() {
	for _, end := range slices.Backward(t.ends) {
		if err := end(); err != nil {
			t.note(err)
		}
	}
	t.ends = nil
}

// attempt is what is to be kept of the trial. whole says that the drive came to
// its end, panicked what it threw instead.
func (t *Trial) attempt(ctx context.Context, whole bool, panicked any) *attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &attempt{
		Scenario: t.Scenario.ID, Number: max(t.number, 1), Started: t.started.UTC().Round(0), Duration: time.Since(t.started),
		Steps: append([]string{}, t.steps...), Benches: append([]string{}, t.benches...), Ending: t.how, Facts: t.facts,
	}
	a.Ending.Whole = whole
	a.Ending.Interrupted = t.emit.interrupted()
	a.Ending.Overtime = ctx.Err() != nil
	if panicked != nil {
		a.Ending.Panic = fmt.Sprint(panicked)
	}
	return a
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

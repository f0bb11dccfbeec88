package fault

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"plumbline/harness/record"
)

// Step is one fault of a plan.
type Step struct {
	At    time.Duration // from the start of the plan
	Hold  time.Duration
	Fault Fault
	// Most is how long a Counted fault is held at the most that has done nothing when
	// Hold is over; up to Hold there is nothing to wait for.
	Most time.Duration
	// Ready is called before the injection and blocks until there is something to break;
	// nil: there is.
	Ready func(ctx context.Context) error
}

// String says the same for equal steps.
func (s Step) String() string {
	return fmt.Sprintf("%v for %v: %s", s.At, s.Hold, s.Fault.Name())
}

// Plan draws n steps from faults, spread over the window so that none overlap:
// each has a slot of its own, its start is drawn within the first half of the
// slot and its hold within [hold/2, hold], cut at the end of the slot. Equal
// arguments give equal plans.
func Plan(seed uint64, faults []Fault, n int, window, hold time.Duration) ([]Step, error) {
	if len(faults) == 0 || n <= 0 || hold <= 0 || window/time.Duration(max(n, 1)) < 2*time.Millisecond {
		return nil, fmt.Errorf("fault: no plan of %d faults out of %d in %v, each held up to %v; widen the window", n, len(faults), window, hold)
	}
	rnd := rand.New(rand.NewPCG(seed, 0x6661756c74)) //nolint:gosec // a fault must be repeatable, not secret
	slot := window / time.Duration(n)
	steps := make([]Step, n)
	for i := range steps {
		start := time.Duration(i)*slot + time.Duration(rnd.Int64N(int64(slot/2)))
		length := hold/2 + time.Duration(rnd.Int64N(int64(hold/2)+1))
		steps[i] = Step{
			At:    start,
			Hold:  min(length, time.Duration(i+1)*slot-start),
			Fault: faults[rnd.IntN(len(faults))],
		}
	}
	return steps, nil
}

// Run applies the steps one after the other, each when its time has come or as
// soon as the one before is over and it is Ready. It stops at the first that fails.
func Run(ctx context.Context, rec *record.Recorder, steps []Step) error {
	began := time.Now()
	for _, s := range slices.SortedStableFunc(slices.Values(steps), func(a, b Step) int { return cmp.Compare(a.At, b.At) }) {
		timer := time.NewTimer(s.At - time.Since(began))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("fault: plan ended before %q: %w", s, context.Cause(ctx))
		}
		if err := s.apply(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// firedTick is how often it is looked whether a fault has done something.
const firedTick = 5 * time.Millisecond

// apply is Apply that holds on as Most says.
func (s Step) apply(ctx context.Context, rec *record.Recorder) error {
	if s.Ready != nil {
		if err := s.Ready(ctx); err != nil {
			return fmt.Errorf("fault: before %q: %w", s.Fault.Name(), err)
		}
	}
	return During(ctx, rec, s.Fault, func(ctx context.Context) error {
		if err := hold(ctx, s.Fault, s.Hold); err != nil {
			return err
		}
		counted, counts := s.Fault.(Counted)
		for held := s.Hold; counts && held < s.Most && counted.Fired() == 0; held += firedTick {
			if err := hold(ctx, s.Fault, firedTick); err != nil {
				return err
			}
		}
		return nil
	})
}

// Package fault breaks things on purpose and mends them again: connections,
// processes and serial lines. Every fault is a pair of Inject and Revert, and
// Apply writes both into the recording.
//
// It knows neither the system under test nor any driver: what it breaks it
// reaches through small interfaces or through a TCP relay of its own.
package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/harness/record"
)

// Fault is something that goes wrong for a while. Inject starts it and Revert
// ends it; both return when the effect is there or gone. Revert after a failed
// or missing Inject is harmless, and a second Revert does nothing.
type Fault interface {
	// Name says what it does with all its parameters, so that equal names in
	// two recordings mean equal faults.
	Name() string
	Inject(ctx context.Context) error
	Revert(ctx context.Context) error
}

// RevertTimeout bounds the reverting of a fault, whatever became of the
// context that it was applied in.
const RevertTimeout = 30 * time.Second

// Apply injects f, holds it and reverts it. It stamps FaultOnset before the
// injection and FaultEnd after the reverting, so that the window between the
// two holds every effect. It reverts in every case, also when ctx has ended or
// the injection failed. A hold that ctx cut short is an error. rec may be nil.
func Apply(ctx context.Context, rec *record.Recorder, f Fault, hold time.Duration) error {
	return During(ctx, rec, f, func(ctx context.Context) error {
		timer := time.NewTimer(hold)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("fault: %q was held for less than %v: %w", f.Name(), hold, context.Cause(ctx))
		}
	})
}

// During is Apply with the time of an action in place of a fixed hold. The
// action is not called when the injection failed. The fault is reverted also
// when the action panics.
func During(ctx context.Context, rec *record.Recorder, f Fault, action func(ctx context.Context) error) (err error) {
	note(rec, record.FaultOnset, f.Name(), nil)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), RevertTimeout)
		defer cancel()
		reverted := f.Revert(ctx)
		if reverted != nil {
			reverted = fmt.Errorf("fault: revert %q: %w", f.Name(), reverted)
		}
		err = errors.Join(err, reverted)
		note(rec, record.FaultEnd, f.Name(), err)
	}()
	if err := f.Inject(ctx); err != nil {
		return fmt.Errorf("fault: inject %q: %w", f.Name(), err)
	}
	return action(ctx)
}

func note(rec *record.Recorder, kind record.EventKind, name string, err error) {
	if rec == nil {
		return
	}
	e := record.Event{Kind: kind, Subject: name}
	if err != nil {
		e.Fields = map[string]string{"error": err.Error()}
	}
	rec.Event(e)
}

// action is a Fault made of two functions.
type action struct {
	name           string
	inject, revert func(ctx context.Context) error

	mu sync.Mutex
	on bool // injected, or tried to, and not yet reverted
}

var _ Fault = (*action)(nil)

// Name implements Fault.
func (a *action) Name() string { return a.name }

// Inject implements Fault.
func (a *action) Inject(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.on = true
	return a.inject(ctx)
}

// Revert implements Fault. One that failed may be tried again.
func (a *action) Revert(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.on {
		return nil
	}
	if err := a.revert(ctx); err != nil {
		return err
	}
	a.on = false
	return nil
}

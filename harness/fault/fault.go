// Package fault breaks things on purpose and mends them again: serial lines,
// connections, MQTT packets, WebSocket frames, processes and their clocks. Every
// fault is a pair of Inject and Revert, and Apply writes both into the recording.
// A fault that acts many times, on the n-th packet say, writes each action, too.
//
// What a fault does depends on its seed and on the traffic, never on time: the
// same seed and the same traffic leave the same log to the byte (see WriteLog).
//
// It knows neither the system under test nor any driver: what it breaks it
// reaches through small interfaces or through a relay of its own.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// Counted is a Fault that acts by itself while it is injected.
type Counted interface {
	Fault
	// Fired returns how often it acted since it was injected last. 0 means that
	// nothing has been broken yet, whatever the system under test does.
	Fired() uint64
}

// ErrUnavailable is wrapped by Inject where this machine cannot make the fault;
// the text says why. A scenario is not applicable then, it has not failed.
var ErrUnavailable = errors.New("this fault is not available here")

// RevertTimeout bounds the reverting of a fault, whatever became of the
// context that it was applied in.
const RevertTimeout = 30 * time.Second

// Apply injects f, holds it and reverts it. It stamps FaultOnset before the
// injection and FaultEnd after the reverting, so that the window between the
// two holds every effect but one: what a delay holds back at the end is still
// as late as it was going to be. It reverts in every case, also when ctx has ended or
// the injection failed. A hold that ctx cut short is an error. rec may be nil.
func Apply(ctx context.Context, rec *record.Recorder, f Fault, length time.Duration) error {
	return During(ctx, rec, f, func(ctx context.Context) error { return hold(ctx, f, length) })
}

// hold waits.
func hold(ctx context.Context, f Fault, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("fault: %q was held for less than %v: %w", f.Name(), length, context.Cause(ctx))
	}
}

// During is Apply with the time of an action in place of a fixed hold. The
// action is not called when the injection failed. The fault is reverted also
// when the action panics.
func During(ctx context.Context, rec *record.Recorder, f Fault, action func(ctx context.Context) error) (err error) {
	note(rec, record.FaultOnset, f, nil)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), RevertTimeout)
		defer cancel()
		reverted := f.Revert(ctx)
		if reverted != nil {
			reverted = fmt.Errorf("fault: revert %q: %w", f.Name(), reverted)
		}
		err = errors.Join(err, reverted)
		note(rec, record.FaultEnd, f, err)
	}()
	if err := f.Inject(ctx); err != nil {
		return fmt.Errorf("fault: inject %q: %w", f.Name(), err)
	}
	return action(ctx)
}

func note(rec *record.Recorder, kind record.EventKind, f Fault, err error) {
	if rec == nil {
		return
	}
	e := record.Event{Kind: kind, Subject: f.Name(), Fields: map[string]string{}}
	if err != nil {
		e.Fields["error"] = err.Error()
	}
	if counted, ok := f.(Counted); ok && kind == record.FaultEnd {
		e.Fields["fired"] = strconv.FormatUint(counted.Fired(), 10)
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

// plain makes an action of two functions that block on nothing.
func plain(name string, inject, revert func() error) *action {
	return &action{
		name:   name,
		inject: func(context.Context) error { return inject() },
		revert: func(context.Context) error { return revert() },
	}
}

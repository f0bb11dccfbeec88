// Package fault breaks things on purpose and mends them again: connections,
// processes and serial lines. Every fault is a pair of Inject and Revert, and
// Apply writes both into the recording.
package fault

import (
	"context"
	"time"

	"plumbline/harness/record"
)

// Recorder takes the events of a fault; *record.Recorder is one.
type Recorder interface{ Event(e record.Event) }

// Fault is something that goes wrong for a while. Inject starts it and Revert
// ends it; both return when the effect is there or gone. Revert after a failed
// or missing Inject is harmless, and a second Revert does nothing.
type Fault interface {
	Name() string
	Inject(ctx context.Context) error
	Revert(ctx context.Context) error
}

// RevertTimeout bounds the reverting of a fault, whatever became of the
// context it was applied in.
const RevertTimeout = 30 * time.Second

// Apply injects f, holds it and reverts it, and stamps FaultOnset and FaultEnd.
func Apply(ctx context.Context, rec Recorder, f Fault, hold time.Duration) error { return nil }

// During is Apply with the time of action in place of a fixed hold.
func During(ctx context.Context, rec Recorder, f Fault, action func(ctx context.Context) error) error {
	return nil
}

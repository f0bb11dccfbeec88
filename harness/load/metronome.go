package load

import (
	"context"
	"runtime"
	"time"

	"plumbline/harness/record"
)

const (
	// wakeEarly is how much before an instant the thread wakes to spin: with
	// 150 µs the p99 of the lateness was 1 to 12 µs on a quiet machine, at 12 to
	// 19 % of one CPU for 1,000 instants a second.
	wakeEarly = 150 * time.Microsecond
	// lookAt is how often a long sleep looks whether it is still wanted.
	lookAt = 5 * time.Millisecond
)

// metronome waits for instants of the run clock. It belongs to one goroutine
// on one locked thread.
type metronome struct {
	clock   *record.Clock
	sleeper sleeper
}

// newMetronome locks the goroutine to its thread and lets the kernel wake it as
// exactly as it can; an urgent one also before other work, where the system
// permits. The caller calls stop when it is done.
func newMetronome(clock *record.Clock, urgent bool) *metronome {
	runtime.LockOSThread()
	return &metronome{clock: clock, sleeper: newSleeper(clock, urgent)}
}

func (m *metronome) stop() {
	m.sleeper.stop()
	runtime.UnlockOSThread()
}

// wait returns at the instant or as soon after it as the machine allows. It
// returns early only with the error of ctx.
func (m *metronome) wait(ctx context.Context, at int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := time.Duration(at - m.clock.Now())
		if left <= m.sleeper.early() {
			break
		}
		m.sleeper.sleepUntil(min(at-int64(m.sleeper.early()), m.clock.Now()+int64(lookAt)))
	}
	for m.clock.Now() < at {
		spin()
	}
	return nil
}

// spin is one turn of the wait before an instant. It is empty on purpose: a
// yield would give the thread away for longer than the wait.
func spin() {}

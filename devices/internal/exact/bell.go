package exact

import "time"

// bell is what the thread of all tasks waits for.
type bell interface {
	// set has it ring at an instant of Now() instead of any other. The caller holds
	// pacer.mu.
	set(due int64)
	// wait returns when it rings, or before.
	wait()
	close()
}

// timer is a bell of the runtime.
type timer struct{ *time.Timer }

func newTimer() bell { return timer{time.NewTimer(time.Hour)} }

func (b timer) set(due int64) { b.Reset(max(time.Duration(due-Now()), 0)) }
func (b timer) wait()         { <-b.C }
func (b timer) close()        { b.Stop() }

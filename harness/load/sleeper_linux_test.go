package load

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"plumbline/harness/record"
)

// TestAThreadIsGivenBackAsItWas: a bench that was started under another policy,
// as by chrt(1), goes on under it, and so does what it starts.
func TestAThreadIsGivenBackAsItWas(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never let go: the thread ends with the goroutine
		batch := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}
		if err := unix.SchedSetAttr(0, &batch, 0); err != nil {
			t.Errorf("SCHED_BATCH: %v", err)
			return
		}
		newSleeper(record.NewClock(), true).stop()
		after, err := unix.SchedGetAttr(0, 0)
		if err != nil || after.Policy != unix.SCHED_BATCH {
			t.Errorf("the policy is %+v afterwards (%v), want SCHED_BATCH", after, err)
		}
	}()
	<-done
}

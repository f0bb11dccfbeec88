package load

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"plumbline/harness/record"
)

// onThread runs f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never let go
		f()
	}()
	<-done
}

// TestAThreadIsGivenBackAsItWas: a bench that was started under another policy,
// as by chrt(1), goes on under it, and so does what it starts.
func TestAThreadIsGivenBackAsItWas(t *testing.T) {
	onThread(func() { givenBack(t, func() {}) })
}

// TestAThreadIsGivenBackWithoutPrivilege: who owes real-time priority to a limit
// (RLIMIT_RTPRIO) may lower it, but not take back that children do not inherit it.
func TestAThreadIsGivenBackWithoutPrivilege(t *testing.T) {
	onThread(func() {
		givenBack(t, func() {
			head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var caps [2]unix.CapUserData
			if err := unix.Capget(&head, &caps[0]); err != nil {
				t.Error(err)
				return
			}
			caps[0].Effective &^= 1 << unix.CAP_SYS_NICE // of this thread alone
			if err := unix.Capset(&head, &caps[0]); err != nil {
				t.Error(err)
			}
		})
	})
}

// givenBack lets a thread of another policy be a metronome's; then comes before
// the thread is given back.
func givenBack(t *testing.T, then func()) {
	t.Helper()
	batch := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}
	if err := unix.SchedSetAttr(0, &batch, 0); err != nil {
		t.Errorf("SCHED_BATCH: %v", err)
		return
	}
	s := newSleeper(record.NewClock(), true)
	t.Logf("got real-time priority: %t", s.before != nil)
	then()
	s.stop()
	after, err := unix.SchedGetAttr(0, 0)
	if err != nil || after.Policy != unix.SCHED_BATCH {
		t.Errorf("the policy is %+v afterwards (%v), want SCHED_BATCH", after, err)
	}
}

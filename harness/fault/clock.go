package fault

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ClockStep steps the wall clock of a running process by whole seconds, forward
// or back, as a wrong time server does; its monotonic clock goes on, and so do
// the clocks of everybody else. Reverting steps it back. A process that was
// restarted meanwhile has the right time already.
//
// It changes how the process reads the clock, in its copy of the kernel's vDSO
// (vdso(7)), so it works on static programs too, without privileges beyond those
// of a debugger of the same user. The process stands still for some
// milliseconds meanwhile, and each later reading costs it a system call. What
// does not ask the vDSO is not fooled: file times, and timers that the kernel
// keeps on the wall clock.
//
// Linux on amd64 only: elsewhere, and where the kernel does not let itself be
// changed so, Inject returns ErrUnavailable. NoClockStep tells beforehand.
func ClockStep(name string, p Running, by time.Duration) Fault {
	var mu sync.Mutex
	pid := 0
	step := func(to int, seconds int64) error {
		if err := stepClock(to, seconds); err != nil {
			return fmt.Errorf("clock of process %d: %w", to, err)
		}
		return nil
	}
	inject := func() error {
		mu.Lock()
		defer mu.Unlock()
		if by == 0 || by%time.Second != 0 {
			return fmt.Errorf("a step of %v: give whole seconds, more or less than 0", by)
		}
		now := p.Pid()
		if now == 0 {
			return fmt.Errorf("%w: the process does not run on this machine, or not under this harness", ErrUnavailable)
		}
		if err := step(now, int64(by/time.Second)); err != nil {
			return err
		}
		pid = now
		return nil
	}
	revert := func() error {
		mu.Lock()
		defer mu.Unlock()
		if pid == 0 || p.Pid() != pid {
			return nil
		}
		if err := step(pid, 0); !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	}
	return plain(fmt.Sprintf("%s (by %+d s)", name, int64(by/time.Second)), inject, revert)
}

// NoClockStep says why ClockStep works on no process of this machine; nil where
// nothing is known against it. It is tried once, on a child of this program that does
// nothing: a process that is another user's, or has capabilities of its own, may still
// refuse.
func NoClockStep() error { return noClockStep() }

var noClockStep = sync.OnceValue(tryClock)

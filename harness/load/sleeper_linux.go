package load

import (
	"errors"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"plumbline/harness/record"
)

// sleeper wakes a thread by clock_nanosleep(2) with an absolute instant. The
// runtime's own timers wait in epoll_wait, which counts in milliseconds.
type sleeper struct {
	offset int64           // CLOCK_MONOTONIC less the run clock
	slack  int             // timer slack of the thread before, 0 when unknown
	before *unix.SchedAttr // how the thread was scheduled before it got real-time priority, nil when it got none
	keep   bool            // sleep without giving the scheduler's place away
}

// fifoPriority is the lowest real-time priority: before every ordinary thread
// and after everything that the system itself runs in real time. The kernel
// keeps 5 % of each second from real-time threads, and the metronome sleeps
// most of the rest.
const fifoPriority = 1

// schedResetOnFork keeps the priority from being inherited (sched(7)).
const schedResetOnFork = 0x01

// newSleeper maps the run clock to CLOCK_MONOTONIC, which is what Go's
// monotonic reading is on Linux, and sets the timer slack of the thread to one
// nanosecond: the default of 50 µs would be added to every sleep. An urgent
// thread asks for real-time priority as well, which needs CAP_SYS_NICE or an
// RLIMIT_RTPRIO; without, it goes on with ordinary priority and its lateness
// shows in the slip.
func newSleeper(clock *record.Clock, urgent bool) sleeper {
	s := sleeper{}
	if urgent {
		s.keep = runtime.GOMAXPROCS(0) >= 2+headroom // others need places too
		s.before = realTime()
	}
	if origin, err := clock.Origin(); err == nil { // the call has no way to fail
		s.offset = origin.Monotonic
	}
	if slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err == nil && slack > 0 {
		if unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) == nil {
			s.slack = slack
		}
	}
	return s
}

// realTime asks for real-time priority for the thread and returns how it was
// scheduled before, nil when it stays so.
func realTime() *unix.SchedAttr {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return nil
	}
	err = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: schedResetOnFork, Priority: fifoPriority,
	}, 0)
	if err != nil {
		return nil
	}
	return before
}

// stop makes the thread what it was: it goes back to the runtime, and whoever
// gave the whole program another policy (chrt(1)) gave it to what the program
// starts as well.
func (s sleeper) stop() {
	if s.before != nil && unix.SchedSetAttr(0, s.before, 0) != nil {
		// Lowering one's own priority is always permitted, but taking the flag
		// back is not, without CAP_SYS_NICE (sched(7)): the thread keeps it.
		s.before.Flags |= schedResetOnFork
		_ = unix.SchedSetAttr(0, s.before, 0)
	}
	if s.slack > 0 {
		// The thread goes back to the runtime; a slack left at 1 ns costs a
		// little power and nothing else, so an error has no consequence.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(s.slack), 0, 0, 0)
	}
}

func (s sleeper) early() time.Duration { return wakeEarly }

// sleepUntil returns at the instant of the run clock or a little later.
func (s sleeper) sleepUntil(at int64) {
	ts := unix.NsecToTimespec(at + s.offset)
	for {
		err := s.sleep(&ts)
		if !errors.Is(err, unix.EINTR) { // the runtime preempts by signal
			return
		}
	}
}

// sleep waits in the kernel. An urgent thread keeps its place in Go's scheduler
// meanwhile: a thread that comes back from an ordinary system call waits for a
// free one, and no priority helps there (58 ms were seen). It sleeps at most
// lookAt at a time, which is how long it can hold up a stop of the world.
func (s sleeper) sleep(ts *unix.Timespec) error {
	if !s.keep {
		return unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, ts, nil)
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME,
		uintptr(unsafe.Pointer(ts)), 0, 0, 0) //nolint:gosec // G103: the kernel reads a timespec, as in x/sys
	if errno != 0 {
		return errno
	}
	return nil
}

package sut

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuSched is the kind of a process's clock that counts what it ran (CPUCLOCK_SCHED of linux/posix-timers.h).
const cpuSched = 2

// cpuTime returns user and system time of a process in nanoseconds, where the usual count has steps of 10 ms; false
// when the system does not tell.
func cpuTime(pid int32) (time.Duration, bool) {
	var used unix.Timespec
	if err := unix.ClockGettime(^pid<<3|cpuSched, &used); err != nil { // clock_getcpuclockid(3)
		return 0, false
	}
	return time.Duration(used.Nano()), true
}

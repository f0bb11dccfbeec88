package exact

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Now reads CLOCK_MONOTONIC in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// SleepUntil sleeps on the calling thread until Now() reaches t.
func SleepUntil(t int64) {
	ts := unix.NsecToTimespec(t)
	// EINTR (a signal) is the only error with this clock and an absolute time.
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil), unix.EINTR) {
		continue
	}
}

package ptytwin

import (
	"errors"

	"golang.org/x/sys/unix"
)

// now reads CLOCK_MONOTONIC in nanoseconds.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// sleepUntil sleeps on the calling thread until now() reaches t.
func sleepUntil(t int64) {
	ts := unix.NsecToTimespec(t)
	// EINTR (a signal) is the only error with this clock and an absolute time.
	for errors.Is(unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil), unix.EINTR) {
		continue
	}
}

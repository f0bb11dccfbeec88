package ptytwin

import (
	"errors"
	"time"

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
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			time.Sleep(time.Duration(t - now()))
			return
		}
	}
}

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime is how long the machine has been up, as this process sees it.
func uptime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0 // then nothing wraps, and nothing is counted
	}
	return time.Duration(now.Nano())
}

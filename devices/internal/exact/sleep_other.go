//go:build !linux

package exact

import "time"

// epoch anchors Now on systems where the pace is kept with time.Sleep.
var epoch = time.Now()

// Now is the monotonic time since the package was loaded, in nanoseconds.
func Now() int64 { return int64(time.Since(epoch)) }

// SleepUntil sleeps until Now() reaches t.
func SleepUntil(t int64) {
	time.Sleep(time.Duration(t - Now())) //nolint:forbidigo // this is the pacing itself, on a thread of its own
}

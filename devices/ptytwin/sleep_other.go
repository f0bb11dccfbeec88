//go:build !linux

package ptytwin

import "time"

// epoch anchors now on systems where the pace is kept with time.Sleep.
var epoch = time.Now()

// now is the monotonic time since the package was loaded, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// sleepUntil sleeps until now() reaches t.
func sleepUntil(t int64) {
	time.Sleep(time.Duration(t - now())) //nolint:forbidigo // this is the pacing itself, on a thread of its own
}

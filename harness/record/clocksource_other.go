//go:build !linux

package record

import "runtime"

// ClockSource names the hardware behind the monotonic clock. Outside Linux the
// system does not tell, so the name of the system is given.
func ClockSource() string { return runtime.GOOS }

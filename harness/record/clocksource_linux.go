package record

import (
	"os"
	"strings"
)

// clockSourcePath is where Linux names the hardware behind CLOCK_MONOTONIC
// (Documentation/timers/timekeeping.rst).
const clockSourcePath = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// ClockSource names the hardware behind the monotonic clock, for example
// "tsc", or "unknown" when the kernel does not tell.
func ClockSource() string {
	name, err := os.ReadFile(clockSourcePath)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}

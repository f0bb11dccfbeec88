package wire

import (
	"fmt"
	"time"
)

// The modes of a subscription.
const (
	modeAll    = "all"
	modeLatest = "latest"
	modeSample = "sample"
)

// Bounds of the times that a viewer may ask for, in milliseconds.
const (
	defaultTick = 50
	minTick     = 10
	maxTick     = 60_000
	maxEvery    = 3_600_000
)

// pace returns after which time a subscription gets the newest values again, 0 for everything at once, and what the answer says
// of it. reason is "" unless the command is refused.
func (c *command) pace() (every time.Duration, says subokMode, reason, detail string) {
	bad := func(format string, args ...any) (time.Duration, subokMode, string, string) {
		return 0, subokMode{}, "mode", fmt.Sprintf(format, args...)
	}
	ms := int64(defaultTick)
	switch c.mode {
	case "", modeAll:
		return 0, says, "", ""
	case modeLatest:
		if c.tick.there() {
			var ok bool
			if ms, ok = c.tick.whole(); !ok || ms < minTick || ms > maxTick {
				return bad("tick_ms: allowed is %d to %d", minTick, maxTick)
			}
		}
		says = subokMode{Mode: modeLatest, TickMS: ms}
	case modeSample:
		var ok bool
		if ms, ok = c.every.whole(); !ok || ms < minTick || ms > maxEvery {
			return bad("every_ms: needed, allowed is %d to %d", minTick, maxEvery)
		}
		says = subokMode{Mode: modeSample, EveryMS: ms}
	default:
		return bad("known are %q, %q and %q", modeAll, modeLatest, modeSample)
	}
	return time.Duration(ms) * time.Millisecond, says, "", ""
}

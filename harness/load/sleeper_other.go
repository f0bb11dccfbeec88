//go:build !linux

package load

import (
	"time"

	"plumbline/harness/record"
)

// sleeper waits with the runtime's timers where clock_nanosleep with an
// absolute instant is not to be had. They are good to a millisecond, so the
// spin begins two milliseconds early and costs more of a CPU.
type sleeper struct{ clock *record.Clock }

func newSleeper(clock *record.Clock, _ bool) sleeper { return sleeper{clock: clock} }

func (s sleeper) stop() {}

func (s sleeper) early() time.Duration { return 2 * time.Millisecond }

func (s sleeper) sleepUntil(at int64) { time.Sleep(time.Duration(at - s.clock.Now())) }

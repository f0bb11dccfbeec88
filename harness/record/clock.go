package record

import "time"

// Clock is the one time base of a run: monotonic nanoseconds since an epoch
// taken when it was made. Publisher, witness and viewers of one process share
// it, so no mapping between clocks is needed. It is safe for concurrent use.
//
// On Linux it reads CLOCK_MONOTONIC through the vDSO. ReadCost measures what
// one reading costs; above 150 ns the vDSO is bypassed and no verdict on a
// latency should be given (gate CLK).
type Clock struct {
	epoch time.Time
	// Of Skewed; 0 for every clock that measures.
	offset int64
	drift  float64
}

// NewClock returns a clock whose zero is now.
func NewClock() *Clock { return &Clock{epoch: time.Now()} }

// Now returns nanoseconds since the epoch. It never goes backwards, whatever
// happens to the wall clock.
func (c *Clock) Now() int64 {
	now := int64(time.Since(c.epoch))
	if c.offset != 0 || c.drift != 0 {
		now += c.offset + int64(float64(now)*c.drift)
	}
	return now
}

// Skewed returns a clock that now shows offset and gains drift, a fraction of
// the time that passes: for tests of what compares clocks.
func Skewed(offset time.Duration, drift float64) *Clock {
	return &Clock{epoch: time.Now(), offset: int64(offset), drift: drift}
}

// Since returns the same as Now in the form that device drivers take.
func (c *Clock) Since() time.Duration { return time.Duration(c.Now()) }

// Epoch returns the wall time of the zero of the clock. It dates a report and
// is never used to measure.
func (c *Clock) Epoch() time.Time { return c.epoch }

// ReadCost reads the clock clockReads times in each of clockRounds rounds.
const (
	clockReads  = 1000
	clockRounds = 20
)

// ReadCost measures the cost of one reading of the clock: the average of the
// best of several rounds, as anything else the machine did in between is not
// the clock's. It blocks for about a millisecond.
func (c *Clock) ReadCost() time.Duration {
	best := time.Duration(1<<63 - 1)
	for range clockRounds {
		start := time.Now()
		for range clockReads {
			c.Now()
		}
		best = min(best, time.Since(start))
	}
	return best / clockReads
}

package record

import "time"

// Clock is the one time base of a run: monotonic nanoseconds since an epoch
// taken when it was made. Publisher, witness and viewers of one process share
// it, so no mapping between clocks is needed. It is safe for concurrent use.
//
// On Linux it reads CLOCK_MONOTONIC through the vDSO. ReadCost measures what
// one reading costs; above 150 ns the vDSO is bypassed and no verdict on a
// latency should be given (gate CLK).
type Clock struct{ epoch time.Time }

// NewClock returns a clock whose zero is now.
func NewClock() *Clock { return &Clock{epoch: time.Now()} }

// Now returns nanoseconds since the epoch. It never goes backwards, whatever
// happens to the wall clock.
func (c *Clock) Now() int64 { return int64(time.Since(c.epoch)) }

// Since returns the same as Now in the form that device drivers take.
func (c *Clock) Since() time.Duration { return time.Since(c.epoch) }

// Epoch returns the wall time of the zero of the clock. It dates a report and
// is never used to measure.
func (c *Clock) Epoch() time.Time { return c.epoch }

// clockReads is how many readings ReadCost averages over.
const clockReads = 20_000

// ReadCost measures the average cost of one reading of the clock. It blocks
// for about a millisecond.
func (c *Clock) ReadCost() time.Duration {
	start := time.Now()
	for range clockReads {
		c.Now()
	}
	return time.Since(start) / clockReads
}

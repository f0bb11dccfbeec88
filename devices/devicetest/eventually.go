package devicetest

import (
	"testing"
	"time"
)

// Eventually waits up to Patience for cond and fails the test otherwise, saying
// what it waited for. It asks every millisecond, on the calling goroutine.
func Eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			tb.Fatalf("waited %v for %s", Patience, what)
		case <-tick.C:
		}
	}
}

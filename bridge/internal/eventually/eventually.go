// Package eventually is for tests: it waits for a condition with a deadline and says what it waited for.
package eventually

import (
	"testing"
	"time"
)

// Patience is how long Must waits: long, for a loaded machine, since a condition that holds costs no more than its own time.
const Patience = time.Minute

// Must returns when ok does and fails the test when that takes longer than Patience. It calls ok every 5 ms, on its own goroutine.
func Must(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited %s for %s", Patience, what)
		}
	}
}

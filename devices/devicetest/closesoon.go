package devicetest

import (
	"testing"
	"time"
)

// CloseSoon calls stop on another goroutine and leaves it there when it has not
// returned within 20 s, which the log of the test says.
//
// It is for servers of libraries that may stand still in their own locks:
// mochi v2.7.9 takes a read lock twice over in Clients.GetByListener, which its
// Close calls, and in Inflight.NextImmediate, which serves a connection that its
// Close waits for, and both stand for good when a writer comes between. A test
// that is about something else must not wait with them.
func CloseSoon(tb testing.TB, what string, stop func() error) {
	tb.Helper()
	closeWithin(tb, 20*time.Second, what, stop)
}

func closeWithin(tb testing.TB, patience time.Duration, what string, stop func() error) {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- stop() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			tb.Errorf("closing %s: %v", what, err)
		}
	case <-timer.C:
		tb.Logf("closing %s took more than %v: it is left as it is", what, patience)
	}
}

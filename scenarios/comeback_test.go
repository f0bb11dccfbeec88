package scenarios

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The next restart waits for data after the one before, where a bridge takes its
// time to find its broker again; not for ever, and not beyond the run.
func TestTheNextRestartWaitsForData(t *testing.T) {
	asked := uint64(0)
	late := func() uint64 { // the tenth look shows one more
		asked++
		return asked / 10
	}
	if err := more(t.Context(), late, time.Minute); err != nil || asked < 10 {
		t.Errorf("waited for %d looks, %v", asked, err)
	}
	never := func() uint64 { return 7 }
	if err := more(t.Context(), never, 10*time.Millisecond); err != nil {
		t.Errorf("nothing came: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := more(ctx, never, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that ended gives %v", err)
	}
}

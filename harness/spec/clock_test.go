package spec

import (
	"fmt"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/reports"
)

// A clock of an agent that cannot be mapped is no fault of the harness and no
// word about the system: the attempt is void.
func TestAnUnmappedClockVoidsTheAttempt(t *testing.T) {
	var how ending
	how.note(fmt.Errorf("bench %q: %w: stepped", "far", harness.ErrClock), "")
	verdict, reason, why := how.open(time.Second)
	if verdict != reports.Inconclusive || reason != reports.ReasonClock || !reason.Voids() || why == "" {
		t.Errorf("%s(%s): %s", verdict, reason, why)
	}
}

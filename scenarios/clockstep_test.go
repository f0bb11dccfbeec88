package scenarios

import (
	"strings"
	"testing"
	"time"
)

// What the harness cannot do to this system on this machine is not asked of it; what
// it began, or what a hook of the descriptor was to do, stays open.
func TestAClockThatCannotBeSteppedIsNotAskedFor(t *testing.T) {
	const why = "operation not permitted"
	for name, c := range map[string]struct {
		facts clockFacts
		is    bool
	}{
		"stepped":           {clockFacts{Offsets: []time.Duration{0, time.Hour, 0}}, false},
		"refused at once":   {clockFacts{Offsets: []time.Duration{0}, Refused: why}, true},
		"never set back":    {clockFacts{Offsets: []time.Duration{0, time.Hour}, Refused: why}, false},
		"a hook that fails": {clockFacts{Offsets: []time.Duration{0}, Refused: why, Hook: true}, false},
		"no page tells it":  {clockFacts{Unknown: why}, false},
	} {
		got := c.facts.beyond()
		if (got != "") != c.is || (c.is && !strings.Contains(got, why)) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

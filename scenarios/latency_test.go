package scenarios

import (
	"testing"
	"time"

	"plumbline/harness/profile"
)

// A system that shows nothing keeps a few visitors waiting for long and the rest
// beyond the limit only.
func TestVisitorsOfADarkSystemLoseTheirPatience(t *testing.T) {
	for _, c := range []struct {
		limit time.Duration
		dark  int
		want  time.Duration
	}{
		{time.Second, 0, 10 * time.Second}, {time.Second, 2, 10 * time.Second}, {time.Second, 3, 2 * time.Second},
		{100 * time.Millisecond, 3, time.Second}, {20 * time.Second, 0, 40 * time.Second}, {20 * time.Second, 9, 40 * time.Second},
	} {
		if got := visitPatience(profile.Limit{Time: c.limit}, c.dark); got != c.want {
			t.Errorf("limit %v, %d dark: %v, want %v", c.limit, c.dark, got, c.want)
		}
	}
}

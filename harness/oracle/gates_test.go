package oracle

import (
	"testing"
	"time"
)

// A rig stood still for who waited where a stretch that matters overlaps the wait.
func TestStood(t *testing.T) {
	second := int64(time.Second)
	gaps := []Gap{{At: second, Length: 50 * time.Millisecond}, {At: 10 * second, Length: time.Second}}
	for _, c := range []struct {
		from, to int64
		patience time.Duration
		want     bool
	}{
		{0, 9 * second, time.Second, false}, // a twentieth of it
		{0, 9 * second, 400 * time.Millisecond, true},
		{9 * second, 10 * second, time.Second, false},
		{9 * second, 10*second + 1, time.Second, true},
		{10*second + 1, 10*second + 2, time.Second, true},
		{11 * second, 20 * second, time.Second, false},
		{0, 20 * second, 10 * time.Second, false},
	} {
		if got := Stood(gaps, c.patience, c.from, c.to); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

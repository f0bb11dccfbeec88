package oracle

import (
	"testing"
	"time"
)

// A rig stood still for who waited where a stretch that matters overlaps the wait.
func TestStill(t *testing.T) {
	second := int64(time.Second)
	stood := Standstills{Gaps: []Gap{{At: second, Length: 50 * time.Millisecond}, {At: 10 * second, Length: time.Second}}}
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
		if got := stood.Still(c.patience, c.from, c.to); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Of a rig that stood still too often to keep every stretch nobody knows what it held
// up: whatever took too long may have been, and what kept its limit has kept it.
func TestStandstillsThatWereNotKept(t *testing.T) {
	const limit = 300 * time.Millisecond
	second := int64(time.Second)
	for from, open := range map[time.Duration]bool{0: false, limit / 10: false, limit/10 + 1: true} {
		stood := Standstills{From: from}
		if got := stood.Excused(limit, time.Minute, 0, 60*second); got != open {
			t.Errorf("all above %s were kept: excused %v", from, got)
		}
		if got := stood.Still(limit, 0, second); got != open {
			t.Errorf("all above %s were kept: still %v", from, got)
		}
		if said := stood.Untold(limit); (said != "") != open {
			t.Errorf("all above %s were kept: %q", from, said)
		}
		if stood.Excused(limit, limit, 0, second) {
			t.Errorf("all above %s were kept: what took no longer than it may needs no excuse", from)
		}
	}
}

package scenarios

import (
	"testing"
	"time"

	"plumbline/harness"
)

// A word that another one replaced before the limit was over, or that is younger
// than that at the end, is owed by nobody.
func TestOnlyAStateThatStoodIsOwed(t *testing.T) {
	const limit = 2 * time.Second
	at := func(d time.Duration, online bool) harness.Change {
		return harness.Change{Device: "plug", At: int64(d), Online: online, Digest: uint64(d)}
	}
	changes := []harness.Change{
		at(10*time.Second, true), at(10*time.Second+4*time.Millisecond, false), at(13*time.Second, true), at(20*time.Second, false),
	}
	for _, c := range []struct {
		now  time.Duration
		want []time.Duration
	}{
		{30 * time.Second, []time.Duration{10*time.Second + 4*time.Millisecond, 13 * time.Second, 20 * time.Second}},
		{21 * time.Second, []time.Duration{10*time.Second + 4*time.Millisecond, 13 * time.Second}},
	} {
		told := stood(changes, int64(c.now), limit)
		if len(told) != len(c.want) {
			t.Fatalf("at %v: %+v, want %v", c.now, told, c.want)
		}
		for i, e := range told {
			if e.At != int64(c.want[i]) || e.Since > e.At || i > 0 && e.Since <= told[i-1].At {
				t.Errorf("at %v: %+v, want %v", c.now, e, c.want[i])
			}
		}
	}
}

package load

import (
	"math"
	"testing"
	"time"
)

func TestScheduleCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Schedule
		ok   bool
	}{
		{"period only", Schedule{Period: time.Second}, true},
		{"dither at the limit", Schedule{Period: time.Second, Dither: time.Second / 2}, true},
		{"burst of ten", Schedule{Period: time.Second, Burst: 10, Spacing: 100 * time.Microsecond}, true},
		{"zero value", Schedule{}, false},
		{"negative phase", Schedule{Period: time.Second, Phase: -1}, false},
		{"dither beyond half a period", Schedule{Period: time.Second, Dither: time.Second/2 + 1}, false},
		{"negative dither", Schedule{Period: time.Second, Dither: -1}, false},
		{"burst spread too far", Schedule{Period: time.Second, Burst: 10, Spacing: MaxSpacing + 1}, false},
		{"burst longer than the period", Schedule{Period: time.Millisecond, Burst: 30}, false},
	} {
		if err := c.s.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func TestScheduleDue(t *testing.T) {
	s := Schedule{Period: time.Second, Phase: 300 * time.Millisecond}
	for i, want := range []time.Duration{300 * time.Millisecond, 1300 * time.Millisecond, 2300 * time.Millisecond} {
		if got := s.Due(uint64(i)); got != want {
			t.Errorf("message %d is due at %v, want %v", i, got, want)
		}
	}
	burst := Schedule{Period: time.Second, Burst: 3, Spacing: 100 * time.Microsecond}
	for i, want := range []time.Duration{0, 100 * time.Microsecond, 200 * time.Microsecond, time.Second, time.Second + 100*time.Microsecond} {
		if got := burst.Due(uint64(i)); got != want {
			t.Errorf("message %d of the bursts is due at %v, want %v", i, got, want)
		}
	}
}

// TestScheduleDither: displacements are uniform in ±dither, differ from seed to
// seed, keep the mean rate and never change the order.
func TestScheduleDither(t *testing.T) {
	const n = 20_000
	s := Schedule{Period: 100 * time.Millisecond, Phase: time.Second, Dither: 10 * time.Millisecond, Seed: 7}
	other := s
	other.Seed = 8
	sum, square, same := 0.0, 0.0, 0
	last := time.Duration(-1)
	for i := range uint64(n) {
		due := s.Due(i)
		if due <= last {
			t.Fatalf("message %d is due at %v, not after %v", i, due, last)
		}
		last = due
		moved := float64(due-s.Phase-time.Duration(i)*s.Period) / float64(s.Dither)
		if math.Abs(moved) > 1 {
			t.Fatalf("message %d is moved by %.2f of the dither", i, moved)
		}
		sum, square = sum+moved, square+moved*moved
		if other.Due(i) == due {
			same++
		}
		if s.Due(i) != due {
			t.Fatalf("message %d: the schedule is not a pure function", i)
		}
	}
	// A uniform displacement has mean 0 and variance 1/3.
	if mean := sum / n; math.Abs(mean) > 0.02 {
		t.Errorf("mean displacement %.3f of the dither, want 0", mean)
	}
	if variance := square / n; math.Abs(variance-1.0/3) > 0.02 {
		t.Errorf("variance %.3f, want 0.333", variance)
	}
	if same > n/1000 {
		t.Errorf("%d of %d instants are the same under another seed", same, n)
	}
}

func TestPlanMerges(t *testing.T) {
	p := newPlan([]Schedule{
		{Period: 30 * time.Millisecond},
		{Period: 20 * time.Millisecond, Phase: 5 * time.Millisecond, Dither: time.Millisecond, Seed: 1},
		{Period: 50 * time.Millisecond, Burst: 2},
	})
	last := time.Duration(-1)
	count := map[int]uint64{}
	for {
		d := p.pop()
		if d.at >= 3*time.Second {
			break
		}
		if d.at < last {
			t.Fatalf("source %d at %v after %v", d.source, d.at, last)
		}
		if d.index != count[d.source] {
			t.Fatalf("source %d: message %d, want %d", d.source, d.index, count[d.source])
		}
		last = d.at
		count[d.source]++
	}
	for source, want := range map[int]uint64{0: 100, 1: 150, 2: 120} {
		if count[source] != want {
			t.Errorf("source %d: %d messages in 3 s, want %d", source, count[source], want)
		}
	}
}

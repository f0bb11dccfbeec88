package devices_test

import (
	"testing"
	"time"

	"plumbline/devices"
)

func TestInstantWithoutDither(t *testing.T) {
	s := devices.Schedule{Period: time.Second, Phase: 300 * time.Millisecond}
	for _, c := range []struct {
		seq  uint64
		want time.Duration
	}{{0, 300 * time.Millisecond}, {1, 300 * time.Millisecond}, {2, 1300 * time.Millisecond}, {11, 10300 * time.Millisecond}} {
		if got := s.Instant(c.seq, 7); got != c.want {
			t.Errorf("Instant(%d) = %v, want %v", c.seq, got, c.want)
		}
	}
}

func TestInstantDithersEvenlyAndPurely(t *testing.T) {
	s := devices.Schedule{Period: time.Second, Dither: 100 * time.Millisecond}
	var sum time.Duration
	low, high := time.Hour, -time.Hour
	const n = 10_000
	for seq := uint64(1); seq <= n; seq++ {
		at := s.Instant(seq, 42)
		if again := s.Instant(seq, 42); again != at {
			t.Fatalf("Instant(%d) = %v, then %v", seq, at, again)
		}
		d := at - time.Duration(seq-1)*s.Period
		sum, low, high = sum+d, min(low, d), max(high, d)
	}
	if low < -s.Dither || high > s.Dither {
		t.Errorf("dither from %v to %v, want within ±%v", low, high, s.Dither)
	}
	if low > -99*time.Millisecond || high < 99*time.Millisecond {
		t.Errorf("dither from %v to %v does not reach its ends", low, high)
	}
	// The mean of n uniform draws in ±0.1 s has a deviation of 0.58 ms: 5 of them.
	if mean := sum / n; mean < -3*time.Millisecond || mean > 3*time.Millisecond {
		t.Errorf("mean dither %v, want about 0", mean)
	}
	if s.Instant(5, 1) == s.Instant(5, 2) {
		t.Error("two seeds give the same instant")
	}
}

func TestRejected(t *testing.T) {
	c := devices.Counters{Good: 9, Damaged: 1, Unchecked: 2, Partial: 4, Dropped: 8}
	if got := c.Rejected(); got != 7 {
		t.Errorf("Rejected() = %d, want 7", got)
	}
}

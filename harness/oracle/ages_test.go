package oracle

import (
	"math"
	"testing"
	"time"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) < 1e-6) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestAgesGrowUntilTheNextValue: a message every 10 ms, each there 1 ms after it
// was due, is between 1 and 11 ms old while it is shown.
func TestAgesGrowUntilTheNextValue(t *testing.T) {
	h := newStory("d").viewer("v", "t/#").viewer("other", "t/#").send(numbers(1, 30)...).get("v", numbers(1, 30)...).index(t)
	a := h.Ages(Options{Viewers: []string{"v"}, From: due(10) + ms, To: due(20) + ms})
	near(t, "the least age", a.Quantile(0), 1)
	near(t, "the median", a.Quantile(0.5), 6)
	near(t, "the p99", a.Quantile(0.99), 10.9)
	near(t, "the most", a.Quantile(1), 11)
	if a.Unshown != 0 {
		t.Errorf("nothing was shown for %v", a.Unshown)
	}
	// Cut anywhere: the first value that counts came before the window.
	near(t, "the median of a millisecond", h.Ages(Options{Viewers: []string{"v"}, From: due(10) + 4*ms, To: due(10) + 5*ms}).Quantile(0.5), 4.5)
}

// TestAgesOfWhatIsMissed: every second value never comes, and one comes late and behind a newer one.
func TestAgesOfWhatIsMissed(t *testing.T) {
	s := newStory("d").viewer("v", "t/#").send(numbers(1, 40)...)
	for seq := uint64(2); seq <= 40; seq += 2 {
		s.get("v", seq)
	}
	h := s.index(t)
	a := h.Ages(Options{From: due(10) + ms, To: due(30) + ms})
	near(t, "the median", a.Quantile(0.5), 11)
	near(t, "the most", a.Quantile(1), 21)
	s.log.Records[len(s.log.Records)-1].Seq = 1 // the last arrival is of an old message
	late := s.index(t).Ages(Options{From: due(10) + ms, To: due(30) + ms})
	near(t, "the median, with an old value at the end", late.Quantile(0.5), 11)
}

func TestAgesOfNothing(t *testing.T) {
	h := newStory("d").viewer("v", "t/#").send(numbers(1, 30)...).get("v", 15).index(t)
	a := h.Ages(Options{From: due(10), To: due(12)})
	if !math.IsNaN(a.Quantile(0.5)) || a.Unshown != 20*time.Millisecond {
		t.Errorf("median %v, unshown %v", a.Quantile(0.5), a.Unshown)
	}
	b := a.Join(h.Ages(Options{From: due(14) + ms, To: due(16) + ms}))
	if near(t, "the median of both", b.Quantile(0.5), 6); b.Unshown != 30*time.Millisecond {
		t.Errorf("unshown %v", b.Unshown)
	}
}

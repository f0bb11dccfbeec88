package render

import (
	"io"
	"testing"

	"plumbline/reports"
)

// TestEqualRowsTakeLinearWork: rows of a hostile summary that are all alike get names
// of their own without each trying all of those before. Work is counted in
// allocations, which a busy machine does not change.
func TestEqualRowsTakeLinearWork(t *testing.T) {
	hops := func(n int) float64 {
		run := &reports.Run{Schema: reports.SchemaVersion, Hops: make([]reports.Hop, n)}
		return testing.AllocsPerRun(1, func() {
			if err := OpenMetrics(io.Discard, run); err != nil {
				t.Error(err)
			}
		})
	}
	names := func(n int) float64 {
		return testing.AllocsPerRun(1, func() {
			all := uniqueNames{used: map[string]bool{}, next: map[string]int{}}
			for range n {
				all.take("steady")
			}
			if len(all.used) != n {
				t.Errorf("%d names, want %d", len(all.used), n)
			}
		})
	}
	for what, work := range map[string]func(int) float64{"series of OpenMetrics": hops, "names of logs": names} {
		if few, many := work(200), work(800); many > 6*few {
			t.Errorf("%s: 200 equal ones take %.0f allocations, 800 take %.0f", what, few, many)
		}
	}
}

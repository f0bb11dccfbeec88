package fault

import "testing"

// TestTheChildIsTriedOnWhenItRuns: whether clocks can be stepped is a property of
// the machine; a child that was looked at before it ran said no one time in ten.
func TestTheChildIsTriedOnWhenItRuns(t *testing.T) {
	first := tryClock()
	for i := range 100 {
		if err := tryClock(); (err == nil) != (first == nil) {
			t.Fatalf("try %d says %v, the first said %v", i+2, err, first)
		}
	}
}

package record_test

import (
	"math"
	"testing"

	"plumbline/harness/record"
)

// What comes again is told from what comes first, in whatever order and in whatever
// stream; what has no position is always new, and what has no stream never is.
func TestDistinct(t *testing.T) {
	var d record.Distinct
	for _, step := range []struct {
		stream uint32
		seq    uint64
		first  bool
	}{
		{0, 1, true}, {0, 2, true}, {0, 2, false}, {1, 2, true}, {0, 1, false}, {0, 5000, true}, {0, 3, true}, {0, 5000, false},
		{0, math.MaxUint64, true}, {0, math.MaxUint64, false}, {2, 0, true}, {2, 0, true}, {record.NoStream, 7, false}, {record.NoStream, 0, false},
	} {
		if got := d.First(step.stream, step.seq); got != step.first {
			t.Errorf("stream %d position %d: first %v", step.stream, step.seq, got)
		}
	}
}

// A system that makes positions up takes no memory without bound, and is forgotten.
func TestDistinctIsBounded(t *testing.T) {
	var d record.Distinct
	d.First(0, 1)
	if d.First(0, 1) {
		t.Fatal("it came before")
	}
	for n := range uint64(1 << 16) {
		if !d.First(1, n<<20|1) {
			t.Fatalf("position %d did not come before", n<<20|1)
		}
	}
	if !d.First(0, 1) || d.First(0, 1) {
		t.Error("what was forgotten is new once more, and once only")
	}
}

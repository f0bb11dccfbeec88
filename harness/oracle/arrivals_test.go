package oracle

import (
	"math/rand/v2"
	"testing"
)

// TestArrivalsAreThoseOfAMap: in whatever order positions come, what was entered
// is found and nothing else.
func TestArrivalsAreThoseOfAMap(t *testing.T) {
	for seed := range uint64(200) {
		draw := rand.New(rand.NewPCG(seed, 1))
		var a arrivals
		want := map[uint64]int64{}
		first, step := 1+draw.Uint64N(1000), 1+draw.Uint64N(20)
		for range draw.IntN(100) {
			seq := max(1, first+draw.Uint64N(200)-min(first, 100))
			switch seed % 3 {
			case 1: // from the newest to the oldest
				first -= min(first-1, step)
				seq = first
			case 2: // as sent
				first += step
				seq = first
			}
			want[seq] = 1 + draw.Int64N(1000)
			a.set(seq, want[seq])
		}
		for seq := range uint64(4000) {
			if got := a.of(seq); got != want[seq] {
				t.Fatalf("seed %d: position %d came at %d, want %d", seed, seq, got, want[seq])
			}
		}
	}
}

// TestALateViewerTakesLittleRoom: a viewer that comes for the last messages of a
// long stream keeps those, not the stream.
func TestALateViewerTakesLittleRoom(t *testing.T) {
	var a arrivals
	for seq := uint64(1_000_003); seq > 1_000_000; seq-- {
		a.set(seq, int64(seq))
	}
	if len(a.at) > 8 {
		t.Errorf("three arrivals take %d places", len(a.at))
	}
}

package journal

import (
	"math/rand/v2"
	"testing"
)

func tailEntry(offset uint64) Entry {
	return Entry{Offset: offset, Message: Message{Topic: "t", Payload: make([]byte, 100)}}
}

// Who appends waits while the tail grows, and every viewer with him: 260,000
// entries that were copied for it stopped the bridge for 20 to 60 ms.
func TestTailGrowsWithoutMovingWhatItHolds(t *testing.T) {
	held := tail{limit: 1 << 40}
	held.push(tailEntry(1), 0)
	first := held.entry(0)
	for offset := uint64(2); offset < 10*chunkEntries; offset++ {
		held.push(tailEntry(offset), 0)
	}
	if held.entry(0) != first {
		t.Error("the oldest entry was moved while the tail grew")
	}
}

// The tail against a plain slice, over all that can be done to it.
func TestTailHoldsWhatAModelHolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const keepEntries = 2*chunkEntries + 7
	cost := func() int64 { e := tailEntry(1); return entryCost(&e) }()
	held, next := tail{limit: keepEntries * cost}, uint64(1)
	var model []uint64
	for range 400 {
		switch what := random.IntN(20); {
		case what == 0:
			held.clear()
			model = nil
		case what == 1: // a hole in the offsets: what was held is of no use
			next += 5
		case what == 2 && len(model) > 0:
			first := model[random.IntN(len(model))]
			held.trim(first)
			for len(model) > 0 && model[0] < first {
				model = model[1:]
			}
		default:
			for range random.IntN(chunkEntries) {
				if n := len(model); n > 0 && model[n-1]+1 != next {
					model = nil
				}
				held.push(tailEntry(next), next)
				model = append(model, next)
				model = model[max(0, len(model)-keepEntries):]
				next++
			}
		}
		agree(t, &held, model, cost)
	}
}

// agree compares the tail with the offsets that it should hold.
func agree(t *testing.T, held *tail, model []uint64, cost int64) {
	t.Helper()
	if held.n != len(model) || held.bytes != cost*int64(len(model)) || len(held.chunks) > len(model)/chunkEntries+2 {
		t.Fatalf("%d entries, %d bytes, %d chunks, want %d entries of %d bytes", held.n, held.bytes, len(held.chunks), len(model), cost)
	}
	if len(model) == 0 {
		return
	}
	for i, e := range held.copyTo(nil, model[0], len(model)+1, 1<<40) {
		if e.Offset != model[i] {
			t.Fatalf("entry %d has the offset %d, want %d", i, e.Offset, model[i])
		}
	}
	if held.holds(model[0]-1) || !held.holds(model[0]) || held.holds(model[len(model)-1]+1) {
		t.Fatal("the borders are wrong")
	}
}

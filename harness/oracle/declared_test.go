package oracle

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// said is one declaration as it came: an interval (from, to], or a stretch of time.
type said struct {
	epoch        string
	from, to     uint64
	since, until int64
}

// searched is what covers looks up, the long way: one declaration after the other.
func searched(gaps []said, known *places, seq uint64, m *message) bool {
	before, after := known.around(seq)
	own := known.at[seq-1].offset
	for _, g := range gaps {
		in := func(p place) bool { return g.epoch == "" || g.epoch == p.epoch }
		low, high := uint64(0), ^uint64(0)
		switch {
		case g.until != 0:
			if m.due <= g.until && max(m.due, m.acked, m.witnessed) >= g.since {
				return true
			}
			continue
		case own != 0:
			if in(before) && g.from < own && own <= g.to {
				return true
			}
			continue
		case before.offset != 0 && after.offset != 0 && !in(before) && !in(after):
			continue
		}
		if before.offset != 0 && in(before) {
			low = before.offset + 1
		}
		if after.offset != 0 && in(after) {
			high = after.offset - 1
		}
		if g.from < g.to && g.from < high && low <= g.to {
			return true
		}
	}
	return false
}

// What is looked up is what a search finds, whatever was declared and known.
func TestDeclarationsAreLookedUpAsTheyWereMade(t *testing.T) {
	epochs := []string{"", "a", "b", "c"}
	seen := map[bool]int{}
	for seed := range uint64(20_000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		n := 1 + rng.IntN(6)
		known := &places{at: make([]place, n)}
		for i := range known.at {
			if rng.IntN(3) > 0 {
				known.at[i] = place{epochs[rng.IntN(3)], uint64(1 + rng.IntN(12))}
			}
		}
		known.link()
		var gaps []said
		a := &admitted{}
		for range rng.IntN(5) {
			g := said{epoch: epochs[rng.IntN(4)], from: uint64(rng.IntN(12)), to: uint64(rng.IntN(14))}
			if rng.IntN(6) == 0 {
				g = said{since: int64(rng.IntN(10)), until: int64(10 + rng.IntN(10))}
				a.stretch(g.since, g.until)
			} else {
				a.interval(g.epoch, g.from, g.to)
			}
			gaps = append(gaps, g)
		}
		a.settle()
		seq := uint64(1 + rng.IntN(n))
		m := &message{due: int64(rng.IntN(30)), witnessed: int64(rng.IntN(30))}
		want := searched(gaps, known, seq, m)
		if got := a.covers(known, seq, m); got != want {
			t.Fatalf("seed %d: message %d of %+v: %v, declared were %+v", seed, seq, known.at, got, gaps)
		}
		seen[want]++
	}
	if seen[true] < 1000 || seen[false] < 1000 {
		t.Errorf("%v", seen)
	}
}

// A system that declares a hundred thousand gaps and loses as many messages holds up
// no verdict.
func TestManyDeclarationsAreLookedUpFast(t *testing.T) {
	const n = 100_000
	known := &places{at: make([]place, n)}
	known.link()
	a := &admitted{}
	for i := range uint64(n) {
		a.interval(fmt.Sprint(i%100), 3*i, 3*i+1)
		a.stretch(int64(10*i), int64(10*i+1))
	}
	a.settle()
	known.at[0], known.at[n-1] = place{"x", 1}, place{"x", 9 * n}
	known.link()
	began := time.Now()
	for seq := uint64(2); seq < n; seq++ {
		if a.covers(known, seq, &message{due: int64(10*seq + 5)}) {
			t.Fatalf("message %d was declared by nobody", seq)
		}
	}
	t.Logf("%d losses among %d declarations in %s", n, 2*n, time.Since(began))
}

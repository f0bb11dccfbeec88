package scenarios

import (
	"math"
	"math/rand/v2"
	"testing"
)

const growthLimit = 16 << 20

// readUntil is what the scenario sees of a curve of memory, in bytes over windows
// that are read, and of what the viewer that does not read takes on top of it. It
// reads on as the scenario does: until memory stands still, or so often.
func readUntil(curve func(window int) float64, held float64) growth {
	const further = 6
	var g growth
	for n := range 1 + further {
		g.read = append(g.read, uint64(curve(n)))
		if g.stands(growthLimit) {
			break
		}
	}
	g.beside = uint64(curve(len(g.read)) + held)
	for n := len(g.read) + 1; g.unsettled(growthLimit, further); n++ {
		g.again = append(g.again, uint64(max(curve(n), float64(g.beside)))) // what it took stays taken
	}
	return g
}

// saidOf reports whether the limit is broken, and open whether nothing is said.
func saidOf(g growth) (failed, open bool) {
	c := g.cost(growthLimit)
	return c.open == "" && c.taken > growthLimit, c.open != ""
}

// curves are what the memory of systems does while everybody reads. Each of them
// has a floor of 40 MiB, a collector that lets it rise and fall, and noise.
var curves = map[string]func(rng *rand.Rand) func(window int) float64{
	"flat": func(*rand.Rand) func(int) float64 { return func(int) float64 { return 0 } },
	"a cache that fills more and more slowly": func(rng *rand.Rand) func(int) float64 {
		size, rest := float64(growthLimit)*16*rng.Float64(), 0.1+0.75*rng.Float64()
		return func(n int) float64 { return size * (1 - math.Pow(rest, float64(n))) }
	},
	"a cache of a bounded size": func(rng *rand.Rand) func(int) float64 {
		step, full := float64(growthLimit)*4*rng.Float64(), 5*rng.Float64() // full before it is looked at no more
		return func(n int) float64 { return step * min(float64(n), full) }
	},
	"a leak within the limit": func(rng *rand.Rand) func(int) float64 {
		step := float64(growthLimit) * 0.8 * rng.Float64()
		return func(n int) float64 { return step * float64(n) }
	},
	"a store that takes a step now and then": func(rng *rand.Rand) func(int) float64 {
		step, every, phase := float64(growthLimit)*(1.2+2*rng.Float64()), float64(2+rng.IntN(5)), float64(rng.IntN(7))
		return func(n int) float64 { return step * math.Floor((float64(n)+phase)/every) }
	},
	"a leak": func(rng *rand.Rand) func(int) float64 {
		step := float64(growthLimit) * (1.2 + 4*rng.Float64())
		return func(n int) float64 { return step * float64(n) }
	},
}

// lively adds what a collector and the rest of a process do to a curve: the most
// of a window differs by up to 2 MiB from the next.
func lively(rng *rand.Rand, curve func(int) float64) func(int) float64 {
	return func(n int) float64 {
		return 40<<20 + curve(n) + (1-math.Pow(rng.Float64(), 4))*(2<<20) // mostly near the top of the teeth
	}
}

// No growth while all read is held against the viewer that does not, be it a cache's
// or a leak's, and what that one takes is found beside either.
func TestMemoryIsHeldAgainstWhatReadingTakes(t *testing.T) {
	for name, make := range curves {
		for seed := range uint64(2000) {
			rng := rand.New(rand.NewPCG(seed, 5))
			curve := lively(rng, make(rng))
			failed, open := saidOf(readUntil(curve, 0))
			switch {
			case failed:
				t.Fatalf("%s, seed %d: held against one viewer", name, seed)
			case name == "a leak" && !open:
				t.Fatalf("%s, seed %d: nobody can tell for whom it is taken", name, seed)
			case (name == "flat" || name == "a cache of a bounded size" || name == "a leak within the limit") && open:
				t.Fatalf("%s, seed %d: nothing is said", name, seed)
			}
			const steps = "a store that takes a step now and then" // which may be as large as what one viewer takes
			if failed, open := saidOf(readUntil(curve, 2.5*growthLimit)); !failed && (!open || name != steps) {
				t.Fatalf("%s, seed %d: 40 MiB that are held for one viewer are not found", name, seed)
			}
			if failed, _ := saidOf(readUntil(curve, 0.5*growthLimit)); failed && name != "a leak within the limit" {
				t.Fatalf("%s, seed %d: 8 MiB that are held for one viewer break a limit of 16", name, seed)
			}
		}
	}
}

// The saw of a collector whose teeth are longer than a window is waited out.
func TestTheTeethOfACollectorAreNoLeak(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 6))
		height, period, phase := float64(growthLimit)*rng.Float64(), 0.2+2*rng.Float64(), rng.Float64()
		saw := func(n int) float64 { // the most of the window from n to n+1
			at := float64(n)/period + phase
			if math.Floor(at+1/period) > math.Floor(at) {
				return 40<<20 + height // a tooth ends in it
			}
			return 40<<20 + height*(at+1/period-math.Floor(at))
		}
		if failed, _ := saidOf(readUntil(saw, 0)); failed {
			t.Fatalf("seed %d: teeth of %.1f MiB every %.2f windows are taken for a leak", seed, height/(1<<20), period)
		}
	}
}

func TestOneWindowTellsNoCacheFromALeak(t *testing.T) {
	for name, c := range map[string]struct {
		growth
		open bool
	}{
		"within the limit":          {growth{read: []uint64{50 << 20}, beside: 60 << 20}, false},
		"above it":                  {growth{read: []uint64{50 << 20}, beside: 90 << 20}, true},
		"above it, and stood still": {growth{read: []uint64{50 << 20, 51 << 20}, beside: 90 << 20}, false},
		"less than before":          {growth{read: []uint64{50 << 20, 51 << 20}, beside: 30 << 20}, false},
	} {
		if got := c.cost(growthLimit); (got.open != "") != c.open || got.taken < 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A profile that allows one further window sees a step of a store all the same: there
// are two looks then, for a rise needs something to rise above.
func TestOneFurtherWindowSeesAStep(t *testing.T) {
	levels := []uint64{80 << 20, 120 << 20, 160 << 20}
	for further, want := range map[int]struct {
		looks int
		open  bool
	}{0: {0, false}, 1: {2, true}, 6: {2, true}} {
		g := growth{read: []uint64{40 << 20, 40 << 20}, beside: 80 << 20}
		for g.unsettled(growthLimit, further) {
			g.again = append(g.again, levels[len(g.again)])
		}
		if _, open := saidOf(g); len(g.again) != want.looks || open != want.open {
			t.Errorf("%d further: %d looks, open %v", further, len(g.again), open)
		}
	}
}

// What was given back after the one read again, and is taken anew when all read, is no
// step of a store.
func TestWhatIsTakenAnewIsNoGrowth(t *testing.T) {
	for name, c := range map[string]struct {
		again []uint64
		open  bool
	}{
		"nobody looked":              {nil, false},
		"it stays where it was":      {[]uint64{90 << 20, 91 << 20}, false},
		"it falls, and rises a bit":  {[]uint64{60 << 20, 64 << 20, 62 << 20}, false},
		"it falls, and rises by far": {[]uint64{60 << 20, 60 << 20, 90 << 20}, true},
		"it falls all the time":      {[]uint64{95 << 20, 70 << 20, 60 << 20}, false},
		"it rises on":                {[]uint64{90 << 20, 130 << 20}, true},
	} {
		g := growth{read: []uint64{50 << 20, 51 << 20}, beside: 90 << 20, again: c.again}
		if got := g.cost(growthLimit); (got.open != "") != c.open || !c.open && got.taken != 39<<20 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

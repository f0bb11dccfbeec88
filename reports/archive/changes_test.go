package archive

import (
	"math"
	"math/rand/v2"
	"testing"
)

// play returns n figures of a bridge whose runs spread by a share, and which becomes
// slower by a factor with the run at.
func play(rng *rand.Rand, n, at int, spread, factor float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1.6 * math.Exp(spread*rng.NormFloat64())
		if i >= at {
			out[i] *= factor
		}
	}
	return out
}

// steps are series with one change, and how many of a hundred must show it, and it
// alone, within one run of the truth.
var steps = []struct {
	name           string
	spread, factor float64
	least          int
}{
	{"+20 % at a spread of 4 %", 0.04, 1.2, 95},
	{"-20 % at a spread of 4 %", 0.04, 1 / 1.2, 95},
	{"+50 % at a spread of 12 %", 0.12, 1.5, 90},
	{"twice as slow at a spread of 12 %", 0.12, 2, 95},
}

// TestChangePointsAreFoundWhereTheyAre: a step that is clear of the spread is found
// within one run of the truth. BenchmarkChangePoints looks at more series.
func TestChangePointsAreFoundWhereTheyAre(t *testing.T) {
	const games, seed = 25, 20261126
	for _, c := range steps {
		rng := rand.New(rand.NewPCG(seed, 1))
		within := located(rng, games, c.spread, c.factor)
		t.Logf("seed %d, %s: within ±1 run in %d of %d series", seed, c.name, within, games)
		if within*100 < c.least*games {
			t.Errorf("%s: within ±1 run in %d of %d series, want %d %%", c.name, within, games, c.least)
		}
	}
}

// located counts the series that show one change-point within one run of the truth.
func located(rng *rand.Rand, games int, spread, factor float64) (within int) {
	for range games {
		at := 16 + rng.IntN(18)
		got := changes(play(rng, 50, at, spread, factor), 0)
		if len(got) == 1 && got[0].at >= at-1 && got[0].at <= at+1 {
			within++
		}
	}
	return within
}

// BenchmarkChangePoints tells the shares of steps that are found within one run.
func BenchmarkChangePoints(b *testing.B) {
	const games = 200
	for _, c := range steps {
		b.Run(c.name, func(b *testing.B) {
			within, all := 0, 0
			rng := rand.New(rand.NewPCG(20261126, 4))
			for b.Loop() {
				within, all = within+located(rng, games, c.spread, c.factor), all+games
			}
			b.ReportMetric(100*float64(within)/float64(all), "%within±1")
		})
	}
}

// stationary are runs of a system that does not change, whatever their figures are
// distributed like.
var stationary = []struct {
	name string
	draw func(*rand.Rand) float64
}{
	{"lognormal", func(rng *rand.Rand) float64 { return math.Exp(0.2 * rng.NormFloat64()) }},
	{"with runs a hundred times as slow", func(rng *rand.Rand) float64 {
		v := math.Exp(0.1 * rng.NormFloat64())
		if rng.IntN(20) == 0 {
			v *= 100
		}
		return v
	}},
	{"of two kinds", func(rng *rand.Rand) float64 { return 1 + float64(rng.IntN(2)) + 0.01*rng.Float64() }},
	{"that often never comes", func(rng *rand.Rand) float64 {
		if rng.IntN(10) == 0 {
			return math.Inf(1)
		}
		return 1 + rng.Float64()
	}},
}

// alarms counts the stationary series of 60 runs, each looked at after every run, that
// ever show a change-point.
func alarms(rng *rand.Rand, games int, draw func(*rand.Rand) float64) (wrong int) {
	for range games {
		values := make([]float64, 60)
		for i := range values {
			values[i] = draw(rng)
		}
		if len(changes(values, 0)) > 0 {
			wrong++
		}
	}
	return wrong
}

// TestStationarySeriesHaveNoChange: at most one in a hundred ever shows one.
// BenchmarkStationary looks at twenty times as many.
func TestStationarySeriesHaveNoChange(t *testing.T) {
	const games, seed = 100, 20261126
	for _, c := range stationary {
		wrong := alarms(rand.New(rand.NewPCG(seed, 2)), games, c.draw)
		t.Logf("seed %d, %s: %d of %d stationary series of 60 runs show a change-point", seed, c.name, wrong, games)
		if wrong > games/100 {
			t.Errorf("%s: %d of %d stationary series show a change-point", c.name, wrong, games)
		}
	}
}

// BenchmarkStationary tells the share of stationary series that show a change-point.
func BenchmarkStationary(b *testing.B) {
	const games = 2000
	for _, c := range stationary {
		b.Run(c.name, func(b *testing.B) {
			wrong, all := 0, 0
			rng := rand.New(rand.NewPCG(20261126, 5))
			for b.Loop() {
				wrong, all = wrong+alarms(rng, games, c.draw), all+games
			}
			b.ReportMetric(100*float64(wrong)/float64(all), "%alarms")
		})
	}
}

// TestWhatWasFoundStays: runs that come later take nothing back that was found.
func TestWhatWasFoundStays(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	values := append(play(rng, 45, 20, 0.05, 1.5), play(rng, 30, 0, 0.05, 1)...)
	before := 0
	for n := 3; n <= len(values); n += 4 { // 75 at last
		got := changes(values[:n], 0)
		if len(got) < before {
			t.Fatalf("%d change-points after %d runs, and %d before", len(got), n, before)
		}
		before = len(got)
	}
	if before != 2 {
		t.Errorf("%d change-points, want the step and the way back: %+v", before, changes(values, 0))
	}
}

func TestChangesAreWorthTelling(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	if got := changes(play(rng, 50, 25, 0.002, 1.03), 0); len(got) != 0 {
		t.Errorf("3 %% are told: %+v", got)
	}
	if got := changes(play(rng, 50, 25, 0.01, 1.2), 1); len(got) != 0 {
		t.Errorf("0.3 ms are told, with an uncertainty of 1 ms: %+v", got)
	}
	same := make([]float64, 40)
	if got := changes(same, 0); len(got) != 0 {
		t.Errorf("zeros change: %+v", got)
	}
	for i := 20; i < 40; i++ {
		same[i] = 3
	}
	if got := changes(same, 0); len(got) != 1 || got[0].at != 20 || got[0].before != 0 || got[0].after != 3 {
		t.Errorf("from none to three: %+v", got)
	}
	lost := play(rng, 40, 40, 0.05, 1)
	for i := 20; i < 40; i++ {
		lost[i] = math.Inf(1)
	}
	if got := changes(lost, 0); len(got) != 1 || got[0].at != 20 || !math.IsInf(got[0].after, 1) {
		t.Errorf("never comes any more: %+v", got)
	}
	for _, few := range [][]float64{nil, {1}, {1, 2, 3}, {1, 1, 1, 9, 9, 9}} {
		if got := changes(few, 0); len(got) != 0 {
			t.Errorf("%v: %+v", few, got)
		}
	}
}

// counted is a source that counts its draws.
type counted struct {
	rand.Source
	draws int
}

func (c *counted) Uint64() uint64 {
	c.draws++
	return c.Source.Uint64()
}

// TestSmallStepsCostNoPermutations: a change that is too small to be told is not tested
// for chance at every run after it, which would take seconds for each figure.
func TestSmallStepsCostNoPermutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, c := range []struct {
		name          string
		factor, guard float64
		small         bool
	}{{"3 %", 1.03, 0, true}, {"less than U", 1.2, 1, true}, {"one that counts", 1.2, 0, false}} {
		source := &counted{Source: rand.NewPCG(6, 7)}
		found := changesBy(source, play(rng, 60, 25, 0.002, c.factor), c.guard)
		if (source.draws == 0) != c.small || (len(found) == 0) != c.small {
			t.Errorf("%s: %d draws, %d change-points", c.name, source.draws, len(found))
		}
	}
}

// BenchmarkChanges is one series of 300 runs with a step, looked at after every run.
func BenchmarkChanges(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 5))
	values := play(rng, 300, 150, 0.1, 1.3)
	for b.Loop() {
		changes(values, 0)
	}
}

package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Comparison is what per-run figures say about two versions (metrology 2.5).
// The run is the unit: samples of one run hang together, so a test on pooled
// samples finds a difference between equal bridges more often than not.
type Comparison struct {
	Enough     bool    // at least ten runs on each side; else Changed is never set
	P          float64 // two-sided Mann–Whitney
	Ratio      float64 // Hodges–Lehmann: median of new over old; NaN when there is none
	Low, High  float64 // 95 % bootstrap interval of Ratio
	Changed    bool    // P < 1 % and the change is at least 5 % and at least the uncertainty
	Regression bool    // Changed to the worse, which is larger
}

// What Compare asks for before it calls something a change.
const (
	CompareRuns  = 10   // runs on each side, at least
	CompareAlpha = 0.01 // P must be below

	compareShare = 0.05 // the change at least, as a share of the old
	resamples    = 2000
)

// Compare compares figures of which smaller is better, one per run, of an old
// and a new version, whose runs should have been interleaved. uncertainty is
// that of a figure, in its unit. The bootstrap draws from seed, so that the
// same figures give the same interval.
func Compare(old, new []float64, uncertainty float64, seed uint64) Comparison {
	c := weigh(old, new, uncertainty)
	c.Low, c.High = bootstrapRatio(old, new, rand.New(rand.NewPCG(seed, 0x636f6d70))) //nolint:gosec // reproducible draws, not secrets
	return c
}

// weigh is Compare without the interval, which decides nothing.
func weigh(old, new []float64, uncertainty float64) Comparison {
	c := Comparison{
		Enough: len(old) >= CompareRuns && len(new) >= CompareRuns,
		P:      MannWhitney(new, old), Ratio: ratioOf(old, new), Low: math.NaN(), High: math.NaN(),
	}
	sorted := slices.Sorted(slices.Values(old))
	least := compareShare
	if len(sorted) > 0 && median(sorted) > 0 {
		least = max(least, uncertainty/median(sorted))
	}
	c.Changed = c.Enough && c.P < CompareAlpha && math.Abs(c.Ratio-1) >= least
	c.Regression = c.Changed && c.Ratio > 1
	return c
}

// ratioOf returns the median of all ratios between a new and an old figure.
// Where both never arrived the ratio is 1.
func ratioOf(old, new []float64) float64 {
	ratios := make([]float64, 0, len(old)*len(new))
	for _, a := range old {
		for _, b := range new {
			r := b / a
			if a == b {
				r = 1 // also for two infinities
			}
			if !math.IsNaN(r) {
				ratios = append(ratios, r)
			}
		}
	}
	if len(ratios) == 0 {
		return math.NaN()
	}
	sort.Float64s(ratios)
	return median(ratios)
}

// bootstrapRatio resamples runs, not samples.
func bootstrapRatio(old, new []float64, rng *rand.Rand) (low, high float64) {
	if len(old) == 0 || len(new) == 0 {
		return math.NaN(), math.NaN()
	}
	draw := func(from, into []float64) {
		for i := range into {
			into[i] = from[rng.IntN(len(from))]
		}
	}
	a, b := make([]float64, len(old)), make([]float64, len(new))
	ratios := make([]float64, resamples)
	for i := range ratios {
		draw(old, a)
		draw(new, b)
		ratios[i] = ratioOf(a, b)
	}
	sort.Float64s(ratios)
	return Quantile(ratios, 0.025), Quantile(ratios, 0.975)
}

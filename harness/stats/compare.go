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
	Blind      bool    // enough runs, no change shown, and one of CompareDetect to the worse not excluded
	Needed     int     // runs of each side that decide; those that are there when nothing is missing
	P          float64 // two-sided Mann–Whitney
	Alpha      float64 // that P must be below: CompareAlpha with CompareRuns, less with more
	Ratio      float64 // Hodges–Lehmann: median of new over old; NaN when there is none
	Low, High  float64 // 95 % bootstrap interval of Ratio
	Changed    bool    // P < Alpha and the change is at least 5 % and at least the uncertainty
	Regression bool    // Changed to the worse, which is larger
}

// What Compare asks for before it calls something a change.
const (
	CompareRuns   = 10   // runs on each side, at least
	CompareAlpha  = 0.01 // P must be below
	CompareDetect = 0.20 // change to the worse that must be excluded before "no change" is said
	CompareMost   = 500  // Needed is at most this: what asks for more cannot be told on such a machine

	CompareShare = 0.05 // the change at least, as a share of the old

	excludeAlpha = 0.05 // two-sided, at which CompareDetect is excluded
	resamples    = 2000
)

// alphaOf is what P must be below with n runs of each side. Whoever adds runs until
// something shows would find something sooner or later; so that all looks together
// stay below CompareAlpha, a look with twice as many runs counts half.
func alphaOf(n int) float64 { return CompareAlpha * CompareRuns / float64(max(n, CompareRuns)) }

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
		P:      MannWhitney(new, old), Alpha: alphaOf(min(len(old), len(new))), Ratio: ratioOf(old, new), Low: math.NaN(), High: math.NaN(),
	}
	sorted := slices.Sorted(slices.Values(old))
	least := CompareShare
	if len(sorted) > 0 && median(sorted) > 0 {
		least = max(least, uncertainty/median(sorted))
	}
	c.Changed = c.Enough && c.P < c.Alpha && math.Abs(c.Ratio-1) >= least
	c.Regression = c.Changed && c.Ratio > 1
	detect := max(CompareDetect, least)
	c.Blind = c.Enough && !c.Changed && !excluded(old, new, detect)
	switch {
	case c.Blind:
		c.Needed = max(needed(old, new, detect), min(len(old), len(new))+1)
	case !c.Enough:
		c.Needed = CompareRuns
	default:
		c.Needed = min(len(old), len(new))
	}
	return c
}

// excluded reports whether the new figures are shown to be smaller than the old
// ones raised by a share, or none of them is larger than any of the old.
func excluded(old, new []float64, share float64) bool {
	if slices.Max(new) <= slices.Min(old) {
		return true // also where nothing ever arrived, and where all is 0
	}
	raised := raise(old, share)
	return ratioOf(raised, new) < 1 && MannWhitney(raised, new) < excludeAlpha
}

func raise(figures []float64, share float64) []float64 {
	out := make([]float64, len(figures))
	for i, v := range figures {
		out[i] = v * (1 + share)
	}
	return out
}

// needed returns how many runs of each side show a change by a share in 95 of 100
// comparisons, after Noether (1987). How often a raised figure exceeds another is
// counted among figures of one side, so no distribution is assumed.
func needed(old, new []float64, share float64) int {
	wins, pairs := 0.0, 0.0
	for _, side := range [][]float64{old, new} {
		for i, raised := range raise(side, share) {
			for j, v := range side {
				switch {
				case i == j:
					continue
				case raised > v:
					wins++
				case raised == v:
					wins += 0.5
				}
				pairs++
			}
		}
	}
	edge := wins/pairs - 0.5
	if !(edge > 0) {
		return CompareMost
	}
	z := func(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) } // quantile of the normal distribution
	n := CompareRuns
	for range 10 { // n bears on its own alpha, ever less
		sum := z(1-alphaOf(n)/2) + z(0.95)
		n = min(max(int(math.Ceil(sum*sum/(6*edge*edge))), CompareRuns), CompareMost)
	}
	return n
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

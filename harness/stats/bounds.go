package stats

import (
	"math"
	"slices"
)

// Quantile returns the q-quantile of ascending values as the order statistic
// x₍⌈qn⌉₎, NaN when there are none. It never interpolates: the result is a
// value that occurred.
func Quantile(sorted []float64, q float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return sorted[min(max(int(math.Ceil(q*float64(n)-1e-9)), 1), n)-1]
}

// UpperIndex returns u, from 1, so that the u-th smallest of n values is an
// upper bound of the q-quantile at the given confidence: the smallest u with
// P[Bin(n, q) ≤ u−1] ≥ confidence. It is 0 when no order statistic is one,
// that is when n < ln(1−confidence)/ln q.
func UpperIndex(n int64, q, confidence float64) int64 {
	c := Allowed(n, q, confidence)
	if c < 0 {
		return 0
	}
	return n - c
}

// LowerIndex returns l, from 1, so that the l-th smallest of n values is a
// lower bound of the q-quantile: the largest l with
// P[Bin(n, q) ≥ l] ≥ confidence. It is 0 when there is none.
func LowerIndex(n int64, q, confidence float64) int64 {
	return n - exceedancesBelow(n, q, confidence)
}

// exceedancesBelow returns the smallest k with P[Bin(n, 1−q) ≤ k] ≥ confidence.
func exceedancesBelow(n int64, q, confidence float64) int64 {
	return firstIndex(0, n, func(k int64) bool { return BinomialCDF(k, n, 1-q) >= confidence })
}

// deflatedBounds returns the bounds of the q-quantile that n dependent values
// support when their variance is inflated by vif: the bounds of n/vif
// independent ones, found at the same share of exceedances. The upper bound is
// the least limit that DR-2 would pass.
func deflatedBounds(sorted []float64, q, confidence, vif float64) (lower, upper float64) {
	n := int64(len(sorted))
	nEff := int64(float64(n) / vif)
	lower, upper = math.NaN(), math.NaN()
	if c := Allowed(nEff, q, confidence); c >= 0 {
		if u := n - int64(float64(c)*vif); u >= 1 {
			upper = sorted[u-1]
		}
	}
	k := exceedancesBelow(nEff, q, confidence)
	if l := n - int64(math.Ceil(float64(k)*vif)); nEff > 0 && l >= 1 {
		lower = sorted[l-1]
	}
	return lower, upper
}

// countAbove returns how many of the ascending values are above x.
func countAbove(sorted []float64, x float64) int64 {
	i, _ := slices.BinarySearchFunc(sorted, x, func(v, limit float64) int {
		if v > limit {
			return 1
		}
		return -1
	})
	return int64(len(sorted) - i)
}

// Zero is the outcome of the zero-event rule.
type Zero struct {
	N, Events  int64
	Confidence float64
	Upper      float64 // bound on the probability of an event per trial; 1 when N is 0
}

// ZeroEvent bounds the probability of an event that was seen events times in n
// trials, exactly (Clopper–Pearson, one-sided). With no event it is
// 1−(1−confidence)^(1/n), about 4.61/n at 99 %.
func ZeroEvent(n, events int64, confidence float64) Zero {
	z := Zero{N: n, Events: events, Confidence: confidence, Upper: 1}
	switch {
	case n <= 0 || events >= n:
	case events <= 0:
		z.Upper = -math.Expm1(math.Log1p(-confidence) / float64(n))
	default:
		low, high := float64(events)/float64(n), 1.0
		for high-low > 1e-12*high {
			mid := (low + high) / 2
			if BinomialCDF(events, n, mid) > 1-confidence {
				low = mid
			} else {
				high = mid
			}
		}
		z.Upper = high
	}
	return z
}

// SamplesForZero returns how many trials without an event bound its
// probability by rate at the given confidence: 46,050 for 10⁻⁴ at 99 %.
func SamplesForZero(rate, confidence float64) int64 {
	return int64(math.Ceil(math.Log1p(-confidence) / math.Log1p(-rate)))
}

// RunShare returns the least share of runs that would keep the limit when all
// of runs did, at the given confidence: 55 % for five runs at 95 %.
func RunShare(runs int, confidence float64) float64 {
	if runs <= 0 {
		return 0
	}
	return math.Pow(1-confidence, 1/float64(runs))
}

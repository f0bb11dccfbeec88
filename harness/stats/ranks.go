package stats

import (
	"math"
	"sort"
)

// exactSize bounds the sample sizes for which MannWhitney counts arrangements
// instead of using the normal approximation.
const exactSize = 20

// MannWhitney returns the two-sided probability of a difference between a and
// b at least as large as seen, if both came from one distribution. It is exact
// for up to 20 values a side without ties, else the normal approximation with
// corrections for ties and continuity. It is 1 when a side is empty.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	u, ties := rankSum(a, b)
	if ties == 0 && n <= exactSize && m <= exactSize {
		return exactMannWhitney(n, m, math.Min(u, float64(n*m)-u))
	}
	total := float64(n + m)
	mean := float64(n*m) / 2
	variance := float64(n*m) / 12 * (total + 1 - ties/(total*(total-1)))
	if variance <= 0 {
		return 1
	}
	z := math.Max(math.Abs(u-mean)-0.5, 0) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

// rankSum returns U of a (pairs in which a is larger, ties half) and Σ(t³−t)
// over groups of equal values.
func rankSum(a, b []float64) (u, ties float64) {
	type ranked struct {
		v     float64
		fromA bool
	}
	all := make([]ranked, 0, len(a)+len(b))
	for _, v := range a {
		all = append(all, ranked{v, true})
	}
	for _, v := range b {
		all = append(all, ranked{v, false})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].v < all[j].v })
	for i := 0; i < len(all); {
		j, inA := i, 0.0
		for ; j < len(all) && all[j].v == all[i].v; j++ {
			if all[j].fromA {
				inA++
			}
		}
		t := float64(j - i)
		u += inA * (float64(i+1+j) / 2) // the mean rank of the group
		ties += t*t*t - t
		i = j
	}
	n := float64(len(a))
	return u - n*(n+1)/2, ties
}

// exactMannWhitney returns 2·P[U ≤ u], at most 1. ways[i][s] counts the sets of
// i of the first ranks with U equal to s (Mann and Whitney 1947).
func exactMannWhitney(n, m int, u float64) float64 {
	most := n * m
	ways := make([][]float64, n+1)
	for i := range ways {
		ways[i] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for rank := range n + m {
		for i := min(n, rank+1); i >= 1; i-- {
			// The value at this rank is the i-th of a: it passes rank−(i−1) of b.
			shift := rank - (i - 1)
			for s := most; s >= shift && shift <= m; s-- {
				ways[i][s] += ways[i-1][s-shift]
			}
		}
	}
	below, all := 0.0, 0.0
	for s, w := range ways[n] {
		all += w
		if float64(s) <= u {
			below += w
		}
	}
	return math.Min(1, 2*below/all)
}

// TheilSen returns the median slope of y against 0, 1, 2 … and its 95 %
// interval; see Slope.
func TheilSen(y []float64) (slope, low, high float64) { return Slope(y, 0.975) }

// Slope returns the median slope of y against 0, 1, 2 … and a lower and an upper
// bound, each of which holds with the given confidence, after Sen (1968), from the
// variance of Kendall's statistic. NaN values are left out. All three are 0 when
// fewer than two values remain.
func Slope(y []float64, confidence float64) (slope, low, high float64) {
	var slopes []float64
	n := 0
	for i := range y {
		if math.IsNaN(y[i]) {
			continue
		}
		n++
		for j := range i {
			if !math.IsNaN(y[j]) {
				slopes = append(slopes, (y[i]-y[j])/float64(i-j))
			}
		}
	}
	if len(slopes) == 0 {
		return 0, 0, 0
	}
	sort.Float64s(slopes)
	z := math.Sqrt2 * math.Erfinv(2*confidence-1) // quantile of the normal distribution
	c := z * math.Sqrt(float64(n)*float64(n-1)*float64(2*n+5)/18)
	at := func(i float64) float64 {
		return slopes[min(max(int(i), 0), len(slopes)-1)]
	}
	half := float64(len(slopes)) / 2
	return median(slopes), at(math.Floor(half - c/2)), at(math.Ceil(half + c/2))
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

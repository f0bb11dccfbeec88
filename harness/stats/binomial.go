package stats

import "math"

// BinomialCDF returns P[Bin(n, p) ≤ k], exact to about 12 digits for n up to
// 10⁷ and beyond. It is 0 for k < 0 and 1 for k ≥ n.
func BinomialCDF(k, n int64, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	case float64(k) <= float64(n)*p:
		return math.Min(1, math.Exp(logLowerTail(k, n, p)))
	default:
		return math.Max(0, 1-math.Exp(logUpperTail(k+1, n, p)))
	}
}

// BinomialTail returns P[Bin(n, p) ≥ k].
func BinomialTail(k, n int64, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	case float64(k) > float64(n)*p:
		return math.Min(1, math.Exp(logUpperTail(k, n, p)))
	default:
		return math.Max(0, 1-math.Exp(logLowerTail(k-1, n, p)))
	}
}

// negligible is the share of the sum below which further terms cannot change
// a float64.
const negligible = 1e-17

// logLowerTail sums the probabilities of k, k−1, … 0 relative to that of k, so
// that no term overflows or vanishes. k is at most the mean: terms fall.
func logLowerTail(k, n int64, p float64) float64 {
	odds := (1 - p) / p
	sum, term := 1.0, 1.0
	for i := k; i > 0; i-- {
		term *= float64(i) / float64(n-i+1) * odds
		sum += term
		if term < negligible*sum {
			break
		}
	}
	return logBinomial(k, n, p) + math.Log(sum)
}

// logUpperTail sums the probabilities of k, k+1, … n in the same way. k is
// above the mean: terms fall.
func logUpperTail(k, n int64, p float64) float64 {
	odds := p / (1 - p)
	sum, term := 1.0, 1.0
	for i := k; i < n; i++ {
		term *= float64(n-i) / float64(i+1) * odds
		sum += term
		if term < negligible*sum {
			break
		}
	}
	return logBinomial(k, n, p) + math.Log(sum)
}

// logBinomial returns ln P[Bin(n, p) = k] by Loader's expansion round the
// mode ("Fast and Accurate Computation of Binomial Probabilities", 2000),
// which keeps its digits where differences of log-gammas of 10⁷ would not.
func logBinomial(k, n int64, p float64) float64 {
	x, m := float64(k), float64(n)
	switch k {
	case 0:
		return m * math.Log1p(-p)
	case n:
		return m * math.Log(p)
	}
	y := m - x
	core := stirlingError(m) - stirlingError(x) - stirlingError(y) -
		deviance(x, m*p) - deviance(y, m*(1-p))
	return core + 0.5*math.Log(m/(2*math.Pi*x*y))
}

// stirlingError returns ln n! minus Stirling's approximation of it.
func stirlingError(n float64) float64 {
	if n < 16 {
		lg, _ := math.Lgamma(n + 1)
		return lg - (n+0.5)*math.Log(n) + n - 0.5*math.Log(2*math.Pi)
	}
	nn := n * n
	return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680)/nn)/nn)/nn) / n
}

// deviance returns x·ln(x/m) + m − x without cancellation when x is near m.
func deviance(x, m float64) float64 {
	if math.Abs(x-m) >= 0.1*(x+m) {
		return x*math.Log(x/m) + m - x
	}
	v := (x - m) / (x + m)
	sum := (x - m) * v
	term := 2 * x * v
	for j := 1; j < 1000; j++ {
		term *= v * v
		next := sum + term/float64(2*j+1)
		if next == sum {
			break
		}
		sum = next
	}
	return sum
}

// Allowed returns c: the most exceedances of a limit among n samples with
// which the q-quantile is still shown to be inside it at the given confidence,
// c = max{k: P[Bin(n, 1−q) ≤ k] ≤ 1−confidence}. It is −1 when n is too small
// for any statement.
func Allowed(n int64, q, confidence float64) int64 {
	// The CDF rises with k: find the first k that is too likely.
	return firstIndex(0, n, func(k int64) bool {
		return BinomialCDF(k, n, 1-q) > 1-confidence
	}) - 1
}

// Reject returns r: the least number of exceedances among n samples that shows
// the q-quantile to be outside the limit with risk at most alpha,
// r = min{k: P[Bin(n, 1−q) ≥ k] ≤ alpha}. It is n+1, never reached, when n is
// too small.
func Reject(n int64, q, alpha float64) int64 {
	return firstIndex(0, n+1, func(k int64) bool {
		return BinomialTail(k, n, 1-q) <= alpha
	})
}

// SamplesFor returns the smallest n at which c exceedances are allowed.
func SamplesFor(c int64, q, confidence float64) int64 {
	low := c + 1
	high := max(low, 2)
	for Allowed(high, q, confidence) < c {
		low, high = high, high*2
	}
	return firstIndex(low, high, func(n int64) bool { return Allowed(n, q, confidence) >= c })
}

// firstIndex returns the first i in [low, high] for which ok holds, ok being
// monotone; high when none before it does.
func firstIndex(low, high int64, ok func(int64) bool) int64 {
	for low < high {
		mid := low + (high-low)/2
		if ok(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

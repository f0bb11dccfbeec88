package stats

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// TestSmallestSamples holds the whole table of metrology 2.1: the smallest n
// for c allowed exceedances, at 95 % and 99 %.
func TestSmallestSamples(t *testing.T) {
	allowed := []int64{0, 1, 3, 5, 10, 20}
	rows := []struct {
		q, confidence float64
		n             []int64
	}{
		{0.99, 0.95, []int64{299, 473, 773, 1049, 1693, 2902}},
		{0.99, 0.99, []int64{459, 662, 1001, 1307, 2010, 3304}},
		{0.999, 0.95, []int64{2995, 4742, 7752, 10511, 16959, 29058}},
		{0.999, 0.99, []int64{4603, 6636, 10042, 13105, 20140, 33097}},
		{0.9999, 0.95, []int64{29956, 47437, 77535, 105128, 169619, 290616}},
		{0.9999, 0.99, []int64{46050, 66381, 100448, 131081, 201442, 331025}},
	}
	for _, row := range rows {
		for i, c := range allowed {
			t.Run(fmt.Sprintf("q=%v/C=%v/c=%d", row.q, row.confidence, c), func(t *testing.T) {
				n := row.n[i]
				if got := SamplesFor(c, row.q, row.confidence); got != n {
					t.Errorf("SamplesFor = %d, want %d", got, n)
				}
				if got := Allowed(n, row.q, row.confidence); got != c {
					t.Errorf("Allowed(%d) = %d, want %d", n, got, c)
				}
				if got := Allowed(n-1, row.q, row.confidence); got != c-1 {
					t.Errorf("Allowed(%d) = %d, want %d", n-1, got, c-1)
				}
			})
		}
	}
}

// TestReferenceCounts holds the reference counts of metrology 2.2.
func TestReferenceCounts(t *testing.T) {
	rows := []struct {
		q          float64
		nEff, c, r int64
	}{
		{0.99, 10_000, 83, 125},
		{0.99, 30_000, 271, 342},
		{0.999, 30_000, 20, 44},
		{0.999, 100_000, 83, 125},
		{0.9999, 100_000, 4, 19},
		{0.9999, 1_000_000, 83, 125},
	}
	for _, row := range rows {
		if got := Allowed(row.nEff, row.q, 0.95); got != row.c {
			t.Errorf("Allowed(%d, %v) = %d, want %d", row.nEff, row.q, got, row.c)
		}
		if got := Reject(row.nEff, row.q, 0.01); got != row.r {
			t.Errorf("Reject(%d, %v) = %d, want %d", row.nEff, row.q, got, row.r)
		}
	}
}

// TestProducersView holds the shares of metrology 2.1: to pass 95 % of the
// time the true rate may be at most this share of the allowed one.
func TestProducersView(t *testing.T) {
	const q = 0.999
	for c, share := range map[int64]float64{0: 0.017, 3: 0.18, 10: 0.36, 20: 0.48, 50: 0.63, 100: 0.72} {
		n := SamplesFor(c, q, 0.95)
		low, high := 0.0, 1-q
		for range 60 {
			mid := (low + high) / 2
			if BinomialCDF(c, n, mid) >= 0.95 {
				low = mid
			} else {
				high = mid
			}
		}
		if got := low / (1 - q); math.Abs(got-share) > 0.006 {
			t.Errorf("c = %d: share %.4f, want %.3f", c, got, share)
		}
	}
}

// TestBinomialAgainstExactSums compares with sums of rational numbers.
func TestBinomialAgainstExactSums(t *testing.T) {
	for _, n := range []int64{1, 2, 7, 40, 250} {
		for _, p := range []*big.Rat{big.NewRat(1, 100), big.NewRat(1, 3), big.NewRat(9, 10)} {
			pf, _ := p.Float64()
			sum, term := new(big.Rat), new(big.Rat).SetInt64(1)
			for range n {
				term.Mul(term, new(big.Rat).Sub(big.NewRat(1, 1), p))
			}
			odds := new(big.Rat).Quo(p, new(big.Rat).Sub(big.NewRat(1, 1), p))
			for k := int64(0); k < n; k++ {
				sum.Add(sum, term) // the probability of k
				term.Mul(term, odds).Mul(term, big.NewRat(n-k, k+1))
				want, _ := sum.Float64()
				if got := BinomialCDF(k, n, pf); math.Abs(got-want) > 1e-11*want+1e-300 && math.Abs(got-want) > 1e-13 {
					t.Fatalf("P[Bin(%d, %v) ≤ %d] = %.17g, want %.17g", n, pf, k, got, want)
				}
				upper, _ := new(big.Rat).Sub(big.NewRat(1, 1), sum).Float64()
				if got := BinomialTail(k+1, n, pf); math.Abs(got-upper) > 1e-10*upper && math.Abs(got-upper) > 1e-13 {
					t.Fatalf("P[Bin(%d, %v) ≥ %d] = %.17g, want %.17g", n, pf, k+1, got, upper)
				}
			}
		}
	}
}

func TestBinomialEdges(t *testing.T) {
	for _, c := range []struct {
		k, n      int64
		p         float64
		cdf, tail float64 // P[≤ k], P[≥ k]
	}{
		{-1, 10, 0.5, 0, 1},
		{10, 10, 0.5, 1, math.Pow(0.5, 10)},
		{0, 10, 0, 1, 1},
		{1, 10, 0, 1, 0},
		{9, 10, 1, 0, 1},
		{0, 0, 0.5, 1, 1},
		{1, 0, 0.5, 1, 0},
	} {
		if got := BinomialCDF(c.k, c.n, c.p); math.Abs(got-c.cdf) > 1e-15 {
			t.Errorf("CDF(%d, %d, %v) = %v, want %v", c.k, c.n, c.p, got, c.cdf)
		}
		if got := BinomialTail(c.k, c.n, c.p); math.Abs(got-c.tail) > 1e-15 {
			t.Errorf("Tail(%d, %d, %v) = %v, want %v", c.k, c.n, c.p, got, c.tail)
		}
	}
}

// TestBinomialLarge checks n = 10⁷ against the normal approximation with
// Cornish–Fisher's skewness term, good to 10⁻⁵ there, and that both tails add
// up to one exactly at every k.
func TestBinomialLarge(t *testing.T) {
	const n, p = 10_000_000, 0.01
	mean, sd := n*p, math.Sqrt(n*p*(1-p))
	for _, z := range []float64{-4, -2, -0.5, 0, 0.5, 2, 4} {
		k := int64(mean + z*sd)
		zk := (float64(k) + 0.5 - mean) / sd
		want := 0.5*math.Erfc(-zk/math.Sqrt2) -
			(1-2*p)/(6*sd)*(zk*zk-1)*math.Exp(-zk*zk/2)/math.Sqrt(2*math.Pi)
		got := BinomialCDF(k, n, p)
		if math.Abs(got-want) > 1e-5 {
			t.Errorf("z = %v: CDF = %.9f, want %.9f", z, got, want)
		}
		if sum := got + BinomialTail(k+1, n, p); math.Abs(sum-1) > 1e-9 {
			t.Errorf("z = %v: both tails sum to %.12f", z, sum)
		}
	}
}

func BenchmarkAllowed(b *testing.B) {
	for b.Loop() {
		Allowed(10_000_000, 0.99, 0.95)
	}
}

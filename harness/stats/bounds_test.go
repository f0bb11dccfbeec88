package stats

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{1}, 0.5, 1},
		{[]float64{1, 2, 3, 4}, 0.5, 2},
		{[]float64{1, 2, 3, 4}, 0.75, 3},
		{[]float64{1, 2, 3, 4}, 0.751, 4},
		{[]float64{1, 2, 3, inf}, 0.99, inf},
		{[]float64{1, 2, 3, inf}, 0, 1},
		{[]float64{1, 2, 3, inf}, 1, inf},
	} {
		if got := Quantile(c.values, c.q); got != c.want {
			t.Errorf("Quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
	if got := Quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing = %v, want NaN", got)
	}
}

// TestIndexDefinitions checks the two indices against their definitions and
// the rule for the least n.
func TestIndexDefinitions(t *testing.T) {
	for _, q := range []float64{0.5, 0.99, 0.999} {
		for _, n := range []int64{10, 299, 300, 5000} {
			u := UpperIndex(n, q, 0.95)
			exists := float64(n) >= math.Log(0.05)/math.Log(q)
			if (u != 0) != exists {
				t.Fatalf("q %v n %d: upper bound exists = %v, want %v", q, n, u != 0, exists)
			}
			if u != 0 && (BinomialCDF(u-1, n, q) < 0.95-1e-12 || (u > 1 && BinomialCDF(u-2, n, q) >= 0.95+1e-12)) {
				t.Errorf("q %v n %d: u = %d is not the smallest", q, n, u)
			}
			l := LowerIndex(n, q, 0.95)
			if l != 0 && BinomialTail(l, n, q) < 0.95-1e-12 {
				t.Errorf("q %v n %d: l = %d does not hold", q, n, l)
			}
			if l < n && BinomialTail(l+1, n, q) >= 0.95+1e-12 {
				t.Errorf("q %v n %d: l = %d is not the largest", q, n, l)
			}
		}
	}
}

// TestBoundsCover checks by simulation that each bound holds in 95 % of runs.
func TestBoundsCover(t *testing.T) {
	const runs, n, q = 2000, 1000, 0.9
	rng := rand.New(rand.NewPCG(1, 2))
	truth := q // of uniform values
	upperHolds, lowerHolds := 0, 0
	for range runs {
		values := make([]float64, n)
		for i := range values {
			values[i] = rng.Float64()
		}
		sort.Float64s(values)
		lower, upper := deflatedBounds(values, q, 0.95, 1)
		if upper >= truth {
			upperHolds++
		}
		if lower <= truth {
			lowerHolds++
		}
	}
	// Order statistics are slightly conservative; 4 standard errors are 2 %.
	for name, holds := range map[string]int{"upper": upperHolds, "lower": lowerHolds} {
		if share := float64(holds) / runs; share < 0.93 || share > 0.985 {
			t.Errorf("the %s bound holds in %.3f of runs, want about 0.95", name, share)
		}
	}
}

// TestUpperBoundIsTheDecision checks that the printed bound and the verdict
// cannot contradict each other: the upper bound is the least limit that passes.
func TestUpperBoundIsTheDecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, vif := range []float64{1, 1.7, 6} {
		values := make([]float64, 20_000)
		for i := range values {
			values[i] = rng.ExpFloat64()
		}
		sort.Float64s(values)
		_, upper := deflatedBounds(values, 0.99, 0.95, vif)
		c := Allowed(int64(float64(len(values))/vif), 0.99, 0.95)
		passes := func(limit float64) bool {
			return float64(countAbove(values, limit))/vif <= float64(c)
		}
		if !passes(upper) || passes(math.Nextafter(upper, 0)) {
			t.Errorf("vif %v: upper bound %v is not the least limit that passes", vif, upper)
		}
	}
}

func TestZeroEvent(t *testing.T) {
	for _, c := range []struct {
		n, events  int64
		confidence float64
		want       float64
	}{
		{460_800, 0, 0.99, 1.0e-5},
		{1000, 0, 0.95, 2.99e-3},
		{1000, 0, 0.999, 6.88e-3},
		{0, 0, 0.99, 1},
		{10, 10, 0.99, 1},
		{100, 1, 0.95, 0.0466}, // Clopper–Pearson
	} {
		got := ZeroEvent(c.n, c.events, c.confidence).Upper
		if math.Abs(got-c.want) > 0.01*c.want {
			t.Errorf("ZeroEvent(%d, %d, %v) = %v, want %v", c.n, c.events, c.confidence, got, c.want)
		}
	}
}

// TestSamplesForZero holds the counts of metrology 2.4.
func TestSamplesForZero(t *testing.T) {
	for rate, want := range map[float64]int64{1e-3: 4603, 1e-4: 46_050, 1e-5: 460_515} {
		if got := SamplesForZero(rate, 0.99); got != want {
			t.Errorf("SamplesForZero(%v) = %d, want %d", rate, got, want)
		}
	}
	if got := SamplesForZero(1e-6, 0.99); got < 4_605_000 || got > 4_606_000 {
		t.Errorf("SamplesForZero(1e-6) = %d, want about 4.6 million", got)
	}
}

// TestRunShare holds the shares of metrology 2.3.
func TestRunShare(t *testing.T) {
	for runs, want := range map[int]float64{5: 0.55, 14: 0.81, 29: 0.90, 59: 0.95} {
		if got := RunShare(runs, 0.95); math.Abs(got-want) > 0.005 {
			t.Errorf("RunShare(%d) = %.3f, want %.2f", runs, got, want)
		}
	}
	if got := RunShare(0, 0.95); got != 0 {
		t.Errorf("RunShare(0) = %v, want 0", got)
	}
}

package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// campaign plays runs of one bridge: AR(1) latencies with ρ 0.5, and 3 % of
// spread between runs. It returns the p99 of each run and all samples pooled.
func campaign(rng *rand.Rand, runs, n int, factor float64) (p99, pooled []float64) {
	for range runs {
		scale := factor * math.Exp(0.03*rng.NormFloat64())
		s := ar1(rng, n, time.Millisecond, 0.5, 0.5)
		for i := range s.Value {
			s.Value[i] *= scale
		}
		pooled = append(pooled, s.Value...)
		p99 = append(p99, Quantile(slices.Sorted(slices.Values(s.Value)), 0.99))
	}
	return p99, pooled
}

// TestAAComparisonsCryNoWolf is the check of metrology 2.5: of 500 comparisons of
// a bridge with itself at most one in a hundred shows a regression, where a test
// on samples would show one in half of them; and a bridge that is 20 % slower is
// found.
func TestAAComparisonsCryNoWolf(t *testing.T) {
	const games, powered, runs, n = 500, 100, 10, 1000
	rng := rand.New(rand.NewPCG(17, 5))
	regressions, changes, wolves, caught := 0, 0, 0, 0
	for i := range games {
		old, oldSamples := campaign(rng, runs, n, 1)
		same, sameSamples := campaign(rng, runs, n, 1)
		c := weigh(old, same, 0.01)
		if c.Regression {
			regressions++
		}
		if c.Changed {
			changes++
		}
		if i >= powered {
			continue
		}
		if MannWhitney(oldSamples, sameSamples) < 0.05 {
			wolves++
		}
		slower, _ := campaign(rng, runs, n, 1.2)
		if weigh(old, slower, 0.01).Regression {
			caught++
		}
	}
	t.Logf("%d comparisons: %d false regressions, %d false changes; of %d: %d by samples, +20 %% found %d times", games, regressions, changes, powered, wolves, caught)
	if regressions > games/100 || changes > games/50 {
		t.Errorf("%d false regressions and %d false changes in %d comparisons of a bridge with itself", regressions, changes, games)
	}
	if caught < powered*95/100 {
		t.Errorf("a bridge that is 20 %% slower was found in %d of %d comparisons", caught, powered)
	}
	if wolves < powered/5 {
		t.Errorf("samples show a difference in %d of %d comparisons; the test has lost its point", wolves, powered)
	}
}

func TestCompare(t *testing.T) {
	inf := math.Inf(1)
	figures := func(n int, base float64) (out []float64) {
		for i := range n {
			out = append(out, base+float64(i)*0.001)
		}
		return out
	}
	for _, c := range []struct {
		name                string
		old, new            []float64
		uncertainty         float64
		changed, regression bool
	}{
		{"slower", figures(10, 1), figures(10, 1.2), 0, true, true},
		{"faster", figures(10, 1.2), figures(10, 1), 0, true, false},
		{"a little slower", figures(10, 1), figures(10, 1.04), 0, false, false},
		{"slower by less than the uncertainty", figures(10, 1), figures(10, 1.2), 0.3, false, false},
		{"too few runs", figures(9, 1), figures(10, 2), 0, false, false},
		{"loses", figures(10, 1), slices.Repeat([]float64{inf}, 10), 0, true, true},
		{"both lose", slices.Repeat([]float64{inf}, 10), slices.Repeat([]float64{inf}, 10), 0, false, false},
		{"nothing", nil, nil, 0, false, false},
	} {
		got := Compare(c.old, c.new, c.uncertainty, 1)
		if got.Changed != c.changed || got.Regression != c.regression {
			t.Errorf("%s: %+v", c.name, got)
		}
		if again := Compare(c.old, c.new, c.uncertainty, 1); len(c.old) > 0 && again != got {
			t.Errorf("%s: the same figures give %+v and %+v", c.name, got, again)
		}
	}
	if c := Compare(figures(10, 1), figures(10, 1.2), 0, 1); math.Abs(c.Ratio-1.2) > 0.01 || c.Low > c.Ratio || c.High < c.Ratio || c.Low < 1.15 || c.High > 1.25 {
		t.Errorf("the ratio is %v in [%v, %v]", c.Ratio, c.Low, c.High)
	}
}

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"plumbline/reports"
)

// z99 is the 99 % point of the standard normal distribution.
const z99 = 2.3263478740408408

// passAndFail plays the decision on log-normal values, sigma 0.5, whose true
// p99 is ratio times the limit, with a guard of 2 % of the limit.
func passAndFail(seed uint64, runs, n int, spacing time.Duration, rho, ratio float64) (pass, fail float64) {
	rng := rand.New(rand.NewPCG(seed, uint64(ratio*1000)))
	limit := math.Exp(0.5*z99) / ratio
	for range runs {
		s := ar1(rng, n, spacing, rho, 0.5)
		d := DecideDR2(Input{Series: s, Limit: limit, Quantile: 0.99, Guard: 0.02 * limit})
		switch d.Verdict {
		case reports.Pass:
			pass++
		case reports.Fail:
			fail++
		}
	}
	return pass / float64(runs), fail / float64(runs)
}

// TestOperatingCharacteristic is a small version of the table in metrology
// 2.2, row "p99, n_eff 10,000". Here the VIF is estimated as in life, which
// costs some of the power at 0.9 and 1.1. Seeds are fixed.
func TestOperatingCharacteristic(t *testing.T) {
	const runs = 20
	for _, c := range []struct {
		ratio            float64
		passMin, passMax float64
		failMin, failMax float64
	}{
		{0.8, 0.95, 1, 0, 0},
		{0.9, 0.80, 1, 0, 0},
		{1.0, 0, 0.05, 0, 0.05},
		{1.1, 0, 0, 0.70, 1},
		{1.2, 0, 0, 0.95, 1},
	} {
		pass, fail := passAndFail(11, runs, 10_000, 4*time.Millisecond, 0, c.ratio)
		if pass < c.passMin || pass > c.passMax || fail < c.failMin || fail > c.failMax {
			t.Errorf("true p99 at %.1f of the limit: P(PASS) %.2f want %.2f…%.2f, P(FAIL) %.2f want %.2f…%.2f",
				c.ratio, pass, c.passMin, c.passMax, fail, c.failMin, c.failMax)
		}
	}
}

// TestDependentCharacteristic is a small version of the table in metrology
// 2.3: with the true quantile exactly on the limit and no guard, dependence
// must not raise the false PASS rate far above 5 %.
func TestDependentCharacteristic(t *testing.T) {
	const runs, n = 20, 10_000
	for _, rho := range []float64{0, 0.8, 0.95} {
		rng := rand.New(rand.NewPCG(13, uint64(rho*100)))
		limit := math.Exp(0.5 * z99)
		naive, passed := 0, 0
		for range runs {
			s := ar1(rng, n, 6*time.Millisecond, rho, 0.5)
			if DecideDR2(Input{Series: s, Limit: limit, Quantile: 0.99}).Verdict == reports.Pass {
				passed++
			}
			if countIf(s.Value, limit) <= Allowed(n, 0.99, 0.95) {
				naive++
			}
		}
		// Five of twenty is what a true rate of 7 % exceeds once in 100 times.
		if passed > 5 {
			t.Errorf("ρ %v: %d of %d false PASS (naive rule: %d)", rho, passed, runs, naive)
		}
		if rho == 0.95 && naive < 4 {
			t.Errorf("ρ 0.95: the naive rule passed %d of %d; the test has lost its point", naive, runs)
		}
	}
}

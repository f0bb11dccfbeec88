package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSequentialReferences holds the figures of metrology 2.5.
func TestSequentialReferences(t *testing.T) {
	for _, c := range []struct {
		p0, p1        float64
		clean         int64 // 0: not given
		ifGood, ifBad float64
	}{
		{1e-5, 1e-3, 4640, 0, 1245},
		{1e-6, 1e-4, 46_414, 0, 12_456},
		{5e-4, 1e-3, 0, 29_327, 23_300},
	} {
		s := Sequential{P0: c.p0, P1: c.p1}
		if got := s.CleanToGood(); c.clean != 0 && got != c.clean {
			t.Errorf("%v against %v: good after %d clean trials, want %d", c.p0, c.p1, got, c.clean)
		}
		ifGood, ifBad := s.Mean()
		if c.ifGood != 0 && math.Abs(ifGood-c.ifGood) > 0.5 || math.Abs(ifBad-c.ifBad) > 0.5 {
			t.Errorf("%v against %v: means %.0f and %.0f, want %.0f and %.0f", c.p0, c.p1, ifGood, ifBad, c.ifGood, c.ifBad)
		}
	}
}

func TestSequentialDecides(t *testing.T) {
	s := Sequential{P0: 1e-5, P1: 1e-3}
	for _, c := range []struct {
		n, events int64
		want      Clarity
	}{
		{0, 0, Open}, {4639, 0, Open}, {4640, 0, Good}, {1, 1, Bad}, {100, 1, Open}, {100, 2, Bad}, {50_000, 1, Good}, {10, 11, Open}, {10, -1, Open},
	} {
		if got := s.Decide(c.n, c.events); got != c.want {
			t.Errorf("%d events in %d trials are %v, want %v", c.events, c.n, got, c.want)
		}
	}
	for _, none := range []Sequential{{}, {P0: 1e-3, P1: 1e-5}, {P0: 0, P1: 0.1}, {P0: 0.1, P1: 1}, {P0: math.NaN(), P1: 0.1}} {
		if got := none.Decide(1_000_000, 500_000); got != Open {
			t.Errorf("%+v decides %v", none, got)
		}
	}
}

// TestSequentialKeepsItsRisks plays the test at both hypotheses: it errs in no
// more than the stated share of the cases (Wald's bounds are on the safe side).
func TestSequentialKeepsItsRisks(t *testing.T) {
	const games = 2000
	s := Sequential{P0: 0.005, P1: 0.01}
	for _, c := range []struct {
		p     float64
		wrong Clarity
	}{{s.P0, Bad}, {s.P1, Good}} {
		rng, wrong, trials := rand.New(rand.NewPCG(3, uint64(c.wrong))), 0, int64(0)
		for range games {
			n, events := int64(0), int64(0)
			for {
				// Trials up to and with the next event, or as many as end it without one.
				n += 1 + int64(math.Log(1-rng.Float64())/math.Log1p(-c.p))
				if s.Decide(n-1, events) == Good {
					if c.wrong == Good {
						wrong++
					}
					break
				}
				if events++; s.Decide(n, events) == Bad {
					if c.wrong == Bad {
						wrong++
					}
					break
				}
			}
			trials += n
		}
		// 2 % of 2000 is what a true rate of 1 % exceeds once in 10⁵ tests.
		if wrong > games/50 {
			t.Errorf("at %v it erred in %d of %d cases", c.p, wrong, games)
		}
		if fixed := int64(6322); trials/games >= fixed { // p99 instead of p99.9: a tenth of the fixed 63,222
			t.Errorf("at %v it took %d trials on average, no fewer than a fixed number of %d", c.p, trials/games, fixed)
		}
	}
}

func TestForesee(t *testing.T) {
	for _, c := range []struct {
		n, exceedances int64
		vif            float64
		want           Clarity
	}{
		{10_000, 0, 1, Good}, {10_000, 0, 20, Open}, {10_000, 150, 1, Bad}, {10_000, 150, 50, Open}, {10_000, 75, 1, Open}, {0, 0, 1, Open},
	} {
		if got := Foresee(c.n, c.exceedances, 0.99, c.vif); got != c.want {
			t.Errorf("%d of %d above the limit, VIF %v: %v, want %v", c.exceedances, c.n, c.vif, got, c.want)
		}
	}
}

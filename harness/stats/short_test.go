package stats

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"plumbline/reports"
)

// Samples are too few just when the rule says so of a system that is never late.
func TestShortIsWhatTheRuleFindsTooFew(t *testing.T) {
	rules := map[string]Rule{
		"time":       {MaxBlock: time.Second, MinBlocks: 10, MinSamples: 100},
		"large":      {MaxBlock: time.Second, MinBlocks: 10, MinSamples: 3000},
		"events":     {Ordinal: true, MinBlocks: 30, MinSamples: 59},
		"as default": {},
	}
	short, enough := 0, 0
	for name, rule := range rules {
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, 3))
			n, rho := 50+rng.IntN(12_000), []float64{0, 0.9, 0.99, 0.999}[seed%4]
			in := Input{Series: ar1(rng, n, 5*time.Millisecond, rho, 0.5), Limit: 1e6, Quantile: []float64{0.5, 0.99}[seed/4%2], Rule: rule}
			d, s := DecideDR2(in), in.Short()
			if (s == nil) != (d.Verdict == reports.Pass) {
				t.Errorf("%s, %d samples with ρ %v: short %+v, the rule says %s (%s)", name, n, rho, s, d.Verdict, d.Detail)
			}
			if s == nil {
				enough++
			} else {
				short++
			}
		}
	}
	if short < 20 || enough < 20 {
		t.Errorf("%d too few, %d enough: the test has lost its point", short, enough)
	}
	if s := (Input{}).Short(); s == nil {
		t.Error("nothing was measured and that is enough")
	}
}

// Neither what is late nor a verdict has a say in whether samples are too few.
func TestShortDoesNotLookAtVerdicts(t *testing.T) {
	for _, limit := range []float64{0.01, 1, 3, 1e6} {
		in := Input{Series: ar1(rand.New(rand.NewPCG(4, 4)), 20_000, 2*time.Millisecond, 0, 0.5), Limit: limit, Quantile: 0.99, Rule: Rule{MinSamples: 299}}
		if s := in.Short(); s != nil {
			t.Errorf("limit %v: %+v", limit, s)
		}
	}
}

// Going on while samples are too few costs no risk: a system exactly on the limit
// is passed and failed no more often than with a number fixed beforehand.
func TestGoingOnForSamplesKeepsTheRisks(t *testing.T) {
	const runs, chunk, most = 120, 2500, 5
	limit := math.Exp(0.5 * z99)
	pass, fail, longer := 0, 0, 0
	for seed := range uint64(runs) {
		all := ar1(rand.New(rand.NewPCG(seed, 17)), chunk*most, 5*time.Millisecond, 0.9, 0.5)
		in := Input{Limit: limit, Quantile: 0.99, Rule: Rule{MaxBlock: time.Second, MinBlocks: 10, MinSamples: 299}}
		for n := chunk; n <= chunk*most; n += chunk {
			in.Series = Series{Due: all.Due[:n], Value: all.Value[:n]}
			if in.Short() == nil {
				break
			}
			longer++
		}
		switch DecideDR2(in).Verdict {
		case reports.Pass:
			pass++
		case reports.Fail:
			fail++
		}
	}
	// Of 120 at 5 % more than 12 come once in 100 times; at 1 % more than 4 do.
	if pass > 12 || fail > 4 {
		t.Errorf("%d of %d passed and %d failed, exactly on the limit", pass, runs, fail)
	}
	if longer < runs/10 {
		t.Errorf("%d runs went on, of %d: the test has lost its point", longer, runs)
	}
}

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// ar1 makes n log-normal values every spacing whose logarithms follow an AR(1)
// process with coefficient rho; median 1, sigma of the logarithm as given.
func ar1(rng *rand.Rand, n int, spacing time.Duration, rho, sigma float64) Series {
	s := Series{Due: make([]int64, n), Value: make([]float64, n)}
	x := rng.NormFloat64()
	for i := range n {
		s.Due[i] = int64(i) * int64(spacing)
		s.Value[i] = math.Exp(sigma * x)
		x = rho*x + math.Sqrt(1-rho*rho)*rng.NormFloat64()
	}
	return s
}

func TestIndependentSamplesAreNotInflated(t *testing.T) {
	s := ar1(rand.New(rand.NewPCG(1, 1)), 60_000, time.Millisecond, 0, 0.5)
	d := s.Measure([]float64{3.0}, Rule{})
	if d.VIF > 1.6 {
		t.Errorf("VIF = %.2f for independent samples, want about 1", d.VIF)
	}
	if d.Tau > 5*time.Millisecond {
		t.Errorf("autocorrelation time %v, want about the spacing of 1 ms", d.Tau)
	}
	if !d.Enough || d.Blocks < 30 {
		t.Errorf("%d blocks of %v, want at least 30", d.Blocks, d.Block)
	}
}

// TestBurstsInflate: exceedances that come 50 at a time inflate the variance
// of their count about fiftyfold.
func TestBurstsInflate(t *testing.T) {
	s := Series{}
	rng := rand.New(rand.NewPCG(2, 1))
	late := 0
	for i := range 100_000 {
		if late == 0 && rng.Float64() < 0.0002 {
			late = 50
		}
		v := 1.0
		if late > 0 {
			v, late = 10, late-1
		}
		s.Due = append(s.Due, int64(i)*int64(time.Millisecond))
		s.Value = append(s.Value, v)
	}
	d := s.Measure([]float64{5}, Rule{})
	if d.VIF < 25 || d.VIF > 110 {
		t.Errorf("VIF = %.1f, want about 50", d.VIF)
	}
	if d.Episodes < 10 || d.Episodes > 40 {
		t.Errorf("%d episodes, want about 20", d.Episodes)
	}
}

// TestAutocorrelationTime checks the estimate against (1+ρ)/(1−ρ) samples.
func TestAutocorrelationTime(t *testing.T) {
	for _, rho := range []float64{0, 0.8, 0.95} {
		want := (1 + rho) / (1 - rho) * 10 // ms
		got := 0.0
		for seed := range uint64(8) {
			s := ar1(rand.New(rand.NewPCG(5, seed)), 20_000, 10*time.Millisecond, rho, 0.5)
			got += float64(s.autocorrelationTime()) / 8e6
		}
		if got < 0.8*want || got > 1.25*want {
			t.Errorf("ρ %v: autocorrelation time %.1f ms, want about %.1f", rho, got, want)
		}
	}
}

func TestBlockLengthFollowsCorrelation(t *testing.T) {
	s := ar1(rand.New(rand.NewPCG(6, 1)), 100_000, 10*time.Millisecond, 0.99, 0.5)
	d := s.Measure([]float64{3}, Rule{})
	if d.Block < 10*time.Second {
		t.Errorf("blocks of %v, want at least ten autocorrelation times of about 2 s", d.Block)
	}
	short := ar1(rand.New(rand.NewPCG(6, 1)), 2_000, 10*time.Millisecond, 0.99, 0.5)
	if d := short.Measure([]float64{3}, Rule{}); d.Enough {
		t.Errorf("%d blocks of %v in 20 s of strongly dependent samples count as enough", d.Blocks, d.Block)
	}
}

// TestMaxBlock: a profile may cut the blocks short; the doubling check then
// says that dependence reaches further.
func TestMaxBlock(t *testing.T) {
	s := ar1(rand.New(rand.NewPCG(6, 1)), 20_000, 2*time.Millisecond, 0.99, 0.5)
	d := s.Measure([]float64{2}, Rule{MinBlock: 250 * time.Millisecond, MaxBlock: 250 * time.Millisecond})
	if !d.Enough || d.Block < 250*time.Millisecond {
		t.Errorf("%d blocks of %v, want at least 30 of 250 ms", d.Blocks, d.Block)
	}
	if d.Block == 250*time.Millisecond && !d.Lengthen {
		t.Errorf("blocks shorter than the dependence pass the doubling check: %+v", d)
	}
}

func TestMeasureEdges(t *testing.T) {
	if d := (Series{}).Measure([]float64{1}, Rule{}); d.VIF != 1 || d.Enough {
		t.Errorf("nothing measured: %+v", d)
	}
	one := Series{Due: []int64{5}, Value: []float64{math.Inf(1)}}
	if d := one.Measure([]float64{1}, Rule{}); d.VIF != 1 || d.Enough {
		t.Errorf("one sample: %+v", d)
	}
	// Order of the samples must not matter.
	s := ar1(rand.New(rand.NewPCG(7, 1)), 5000, time.Millisecond, 0.9, 0.5)
	r := Series{}
	for i := len(s.Due) - 1; i >= 0; i-- {
		r.Due, r.Value = append(r.Due, s.Due[i]), append(r.Value, s.Value[i])
	}
	if a, b := s.Measure([]float64{2}, Rule{MinBlock: 100 * time.Millisecond}), r.Measure([]float64{2}, Rule{MinBlock: 100 * time.Millisecond}); a != b {
		t.Errorf("order changes the result: %+v and %+v", a, b)
	}
}

func TestDrift(t *testing.T) {
	const n = 30_000
	still := ar1(rand.New(rand.NewPCG(8, 1)), n, time.Millisecond, 0, 0.5)
	if s := still.Drift(0.99, 10); !s.Tested || !s.Stationary {
		t.Errorf("a steady run is called drifting: %+v", s)
	}
	drifting := ar1(rand.New(rand.NewPCG(8, 1)), n, time.Millisecond, 0, 0.5)
	for i := range drifting.Value {
		drifting.Value[i] += 3 * float64(i) / n
	}
	s := drifting.Drift(0.99, 10)
	if s.Stationary || s.Worst != 3 || math.Abs(s.Drift-3) > 1 || s.P > 0.01 {
		t.Errorf("a drift of 3 is not seen: %+v", s)
	}
	if c := s.Certain(); !(c > 1 && c <= s.Drift) || still.Drift(0.99, 10).Certain() != 0 {
		t.Errorf("of a drift of 3 %v is certain, of none %v", c, still.Drift(0.99, 10).Certain())
	}
	for i := range drifting.Value {
		drifting.Value[i] -= 6 * float64(i) / n
	}
	if c := drifting.Drift(0.99, 10).Certain(); !(c > 1 && c < 4) {
		t.Errorf("of a drift downwards of 3 %v is certain", c)
	}
	for i := range drifting.Value {
		drifting.Value[i] += 6 * float64(i) / n
	}
	if s := drifting.Drift(0.99, 100); !s.Stationary {
		t.Errorf("a drift of 3 %% of the limit counts: %+v", s)
	}
	few := Series{Due: []int64{1, 2, 3}, Value: []float64{1, 2, 3}}
	if s := few.Drift(0.99, 10); s.Tested {
		t.Errorf("three samples are called a test: %+v", s)
	}
}

func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"3 against 3, apart", []float64{1, 2, 3}, []float64{4, 5, 6}, 0.1}, // 2/C(6,3)
		{"4 against 4, apart", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70},
		{"mixed", []float64{1, 4, 5}, []float64{2, 3, 6}, 1},
		{"5 against 5, one swap", []float64{1, 2, 3, 4, 6}, []float64{5, 7, 8, 9, 10}, 2 * 2.0 / 252},
		{"all equal", []float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		{"empty", nil, []float64{1}, 1},
	} {
		if got := MannWhitney(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: p = %v, want %v", c.name, got, c.want)
		}
		if got := MannWhitney(c.b, c.a); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s, swapped: p = %v, want %v", c.name, got, c.want)
		}
	}
}

// TestMannWhitneyNormal compares the approximation with the exact count where
// both can be had.
func TestMannWhitneyNormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	var a, b []float64
	for range 20 {
		a, b = append(a, rng.NormFloat64()), append(b, rng.NormFloat64()+0.6)
	}
	exact := MannWhitney(a, b)
	// One tie far away from the rest forces the approximation.
	tied := MannWhitney(append(a, -50), append(b, -50))
	if math.Abs(exact-tied) > 0.03 {
		t.Errorf("exact p %.4f, approximation %.4f", exact, tied)
	}
}

func TestTheilSen(t *testing.T) {
	y := []float64{0, 1, 2, 3, 100, 5, 6, 7, 8, 9} // one outlier
	slope, low, high := TheilSen(y)
	if math.Abs(slope-1) > 1e-9 || low > 1 || high < 1 {
		t.Errorf("slope %v in [%v, %v], want 1", slope, low, high)
	}
	if slope, low, high := TheilSen([]float64{math.NaN(), 1}); slope != 0 || low != 0 || high != 0 {
		t.Errorf("one value has a slope: %v %v %v", slope, low, high)
	}
}

package stats

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// even makes n values spread over a minute, late of them at 100, the rest at 1,
// the late ones as evenly spread as they go.
func even(n, late int) Series {
	s := Series{Due: make([]int64, n), Value: make([]float64, n)}
	for i := range n {
		s.Due[i] = int64(i) * int64(time.Minute) / int64(n)
		s.Value[i] = 1
		if late > 0 && (i*late)/n != ((i+1)*late)/n {
			s.Value[i] = 100
		}
	}
	return s
}

func TestDecideCounts(t *testing.T) {
	// c = 83 and r = 125 at n_eff 10,000 (metrology 2.2); evenly spread
	// exceedances have a VIF of 1.
	for _, c := range []struct {
		name string
		late int
		want reports.Verdict
	}{
		{"none", 0, reports.Pass},
		{"all that are allowed", 83, reports.Pass},
		{"one more", 84, reports.ConditionalPass},
		{"estimate on the limit", 100, reports.ConditionalPass},
		{"estimate outside", 101, reports.ConditionalFail},
		{"one below rejection", 124, reports.ConditionalFail},
		{"rejection", 125, reports.Fail},
		{"all", 10_000, reports.Fail},
	} {
		d := DecideDR2(Input{Series: even(10_000, c.late), Limit: 50, Quantile: 0.99})
		if d.Verdict != c.want {
			t.Errorf("%s: %v (%s), want %v: %+v", c.name, d.Verdict, d.Detail, c.want, d)
		}
		if d.XPass != int64(c.late) || d.XFail != int64(c.late) || d.Allowed != 83 || d.Reject != 125 {
			t.Errorf("%s: counters %d %d, c %d, r %d", c.name, d.XPass, d.XFail, d.Allowed, d.Reject)
		}
	}
}

func TestDecideGuardAndBias(t *testing.T) {
	s := even(10_000, 200) // 2 % at 100
	in := Input{Series: s, Limit: 99, Quantile: 0.99}
	if d := DecideDR2(in); d.Verdict != reports.Fail {
		t.Errorf("without guard: %v, want FAIL", d.Verdict)
	}
	in.Guard = 2 // 100 is inside 99+2
	if d := DecideDR2(in); d.Verdict != reports.ConditionalFail || d.XFail != 0 || d.XPass != 200 {
		t.Errorf("guarded: %v, X_F %d, X_P %d", d.Verdict, d.XFail, d.XPass)
	}
	in.Guard, in.Bias = 0.5, 1 // bias only makes a FAIL harder
	if d := DecideDR2(in); d.Verdict != reports.ConditionalFail {
		t.Errorf("with bias: %v, want CONDITIONAL FAIL", d.Verdict)
	}
	in = Input{Series: s, Limit: 101, Quantile: 0.99, Guard: 2}
	if d := DecideDR2(in); d.Verdict != reports.ConditionalPass {
		t.Errorf("inside the guard band: %v, want CONDITIONAL PASS", d.Verdict)
	}
}

func TestDecideMissing(t *testing.T) {
	s := even(10_000, 0)
	for i := range 150 {
		s.Value[i*66] = math.Inf(1)
	}
	d := DecideDR2(Input{Series: s, Limit: 50, Quantile: 0.99})
	if d.Verdict != reports.Fail || d.Lost != 150 || !math.IsInf(d.Estimate, 1) {
		t.Errorf("missing messages do not count as late: %v, lost %d, estimate %v", d.Verdict, d.Lost, d.Estimate)
	}
}

func TestDecideInconclusive(t *testing.T) {
	gate := Gate{Reason: reports.ReasonGenerator, Detail: "slip", Cure: "less load"}
	for _, c := range []struct {
		name   string
		in     Input
		reason reports.Reason
	}{
		{"nothing", Input{Limit: 50, Quantile: 0.99}, reports.ReasonSamples},
		{"too few for the quantile", Input{Series: even(298, 0), Limit: 50, Quantile: 0.99}, reports.ReasonSamples},
		{"too few for the requirement", Input{Series: even(10_000, 0), Limit: 50, Quantile: 0.99, Rule: Rule{MinSamples: 10_001}}, reports.ReasonSamples},
		{"too few blocks", Input{Series: even(10_000, 0), Limit: 50, Quantile: 0.99, Rule: Rule{MinBlock: 3 * time.Second}}, reports.ReasonSamples},
		{"too few blocks to fail", Input{Series: even(10_000, 10_000), Limit: 50, Quantile: 0.99, Rule: Rule{MinBlock: 3 * time.Second}}, reports.ReasonSamples},
		{"gate", Input{Series: even(10_000, 0), Limit: 50, Quantile: 0.99, Gates: []Gate{gate}}, reports.ReasonGenerator},
		{"gate over fail", Input{Series: even(10_000, 10_000), Limit: 50, Quantile: 0.99, Gates: []Gate{gate}}, reports.ReasonGenerator},
	} {
		d := DecideDR2(c.in)
		if d.Verdict != reports.Inconclusive || d.Reason != c.reason || d.Detail == "" || d.Cure == "" {
			t.Errorf("%s: %v(%s) %q cure %q, want INCONCLUSIVE(%s)", c.name, d.Verdict, d.Reason, d.Detail, d.Cure, c.reason)
		}
	}
	small := DecideDR2(Input{Series: even(10_000, 10_000), Limit: 50, Quantile: 0.99, Rule: Rule{MinSamples: 20_000}})
	if small.Verdict != reports.Fail {
		t.Errorf("a demonstrated FAIL needs no minimum: %v", small.Verdict)
	}
}

// TestDecideRefusesNonsense: what was asked wrongly is never a PASS.
func TestDecideRefusesNonsense(t *testing.T) {
	nan := math.NaN()
	for name, spoil := range map[string]func(*Input){
		"no quantile":         func(in *Input) { in.Quantile = 0 },
		"whole quantile":      func(in *Input) { in.Quantile = 1 },
		"no limit":            func(in *Input) { in.Limit = 0 },
		"endless limit":       func(in *Input) { in.Limit = math.Inf(1) },
		"unknown limit":       func(in *Input) { in.Limit = nan },
		"negative guard":      func(in *Input) { in.Guard = -1 },
		"unknown bias":        func(in *Input) { in.Bias = nan },
		"certain confidence":  func(in *Input) { in.Rule.PassConfidence = 1 },
		"negative confidence": func(in *Input) { in.Rule.FailConfidence = -0.5 },
		"instants missing":    func(in *Input) { in.Due = in.Due[1:] },
		"value missing":       func(in *Input) { in.Value[7] = nan },
	} {
		in := Input{Series: even(10_000, 0), Limit: 50, Quantile: 0.99}
		spoil(&in)
		if d := DecideDR2(in); d.Verdict != reports.Error || d.Detail == "" || d.Cure == "" {
			t.Errorf("%s: %v %q", name, d.Verdict, d.Detail)
		}
	}
}

func TestDecideRunFails(t *testing.T) {
	d := DecideDR2(Input{Series: even(10_000, 0), Limit: 50, Quantile: 0.99, RunFails: true})
	if d.Verdict != reports.ConditionalPass {
		t.Errorf("a failed run among the runs: %v, want no PASS", d.Verdict)
	}
}

func TestDecideNeedMore(t *testing.T) {
	d := DecideDR2(Input{Series: even(10_000, 90), Limit: 50, Quantile: 0.99})
	if d.Verdict != reports.ConditionalPass || d.NeedMore <= 0 {
		t.Fatalf("%v, need %d more", d.Verdict, d.NeedMore)
	}
	n := int64(10_000) + d.NeedMore
	if int64(0.009*float64(n)) > Allowed(n, 0.99, 0.95) {
		t.Errorf("%d more would not decide: %d of %d, allowed %d", d.NeedMore, int64(0.009*float64(n)), n, Allowed(n, 0.99, 0.95))
	}
	// 1 % between the guards never decides.
	s := even(10_000, 100)
	d = DecideDR2(Input{Series: s, Limit: 100, Quantile: 0.99, Guard: 5})
	if d.NeedMore != -1 {
		t.Errorf("inside the guard band %d more are said to decide, want -1", d.NeedMore)
	}
}

// TestDecideDrift: a run that gets worse is judged on its worst third.
func TestDecideDrift(t *testing.T) {
	const n = 30_000
	s := ar1(rand.New(rand.NewPCG(8, 1)), n, 4*time.Millisecond, 0, 0.2)
	for i := 2 * n / 3; i < n; i++ {
		s.Value[i] *= 3
	}
	in := Input{Series: s, Limit: 4, Quantile: 0.99, Steady: true}
	d := DecideDR2(in)
	if d.Stationarity.Stationary || d.WorstThird != 3 || d.Verdict != reports.Fail {
		t.Errorf("%v on third %d: %+v", d.Verdict, d.WorstThird, d.Stationarity)
	}
	in.Rule.MinBlocks, in.Limit = 50, 8
	d = DecideDR2(in)
	if d.Verdict != reports.Inconclusive || d.Reason != reports.ReasonNonstationary || !strings.Contains(d.Detail, "drifted") {
		t.Errorf("a third without enough blocks: %v(%s) %q", d.Verdict, d.Reason, d.Detail)
	}
}

// TestDecideDependent: samples that come in clumps carry less; the naive rule
// would pass here.
func TestDecideDependent(t *testing.T) {
	s := even(60_000, 0)
	for clump := range 9 {
		for i := range 55 {
			s.Value[clump*6600+i] = 100
		}
	}
	d := DecideDR2(Input{Series: s, Limit: 50, Quantile: 0.99})
	if naive := Allowed(60_000, 0.99, 0.95); d.XPass > naive {
		t.Fatalf("test data: %d exceedances, the naive rule allows %d", d.XPass, naive)
	}
	if d.Verdict == reports.Pass || d.VIF < 10 {
		t.Errorf("clumped exceedances: %v with VIF %.1f", d.Verdict, d.VIF)
	}
}

// Events apart are decided by how many of them were late, however long each took;
// a block is so many of them, and texts say so.
func TestEventsApartAreDecidedByTheirNumber(t *testing.T) {
	events := func(n, late int) Input {
		in := Input{Limit: 1000, Quantile: 0.95, Rule: Rule{Ordinal: true, MinBlocks: 30}}
		at := int64(0)
		for i := range n {
			value := 1.0
			if late > 0 && i%(n/late) == 5 {
				value = 60_000
			}
			in.Due, in.Value = append(in.Due, at), append(in.Value, value)
			at += int64(value * 1e6)
		}
		return in
	}
	for _, c := range []struct {
		n, late int
		want    reports.Verdict
	}{{540, 0, reports.Pass}, {540, 3, reports.Pass}, {540, 54, reports.Fail}, {20, 0, reports.Inconclusive}} {
		d := DecideDR2(events(c.n, c.late))
		if d.Verdict != c.want {
			t.Errorf("%d late of %d: %s, %s", c.late, c.n, d.Verdict, d.Detail)
		}
		if c.want == reports.Inconclusive && !strings.Contains(d.Detail, "20 blocks of 1 samples") {
			t.Errorf("it says %q", d.Detail)
		}
	}
}

// The worst third of events apart is cut into blocks of its own number.
func TestEventsThatTakeLongerAndLongerFail(t *testing.T) {
	in := Input{Limit: 1000, Quantile: 0.95, Rule: Rule{Ordinal: true, MinBlocks: 30}, Steady: true}
	for i := range 540 {
		in.Due, in.Value = append(in.Due, int64(i)*1e9), append(in.Value, 10+float64(i)*6)
	}
	if d := DecideDR2(in); d.Verdict != reports.Fail || d.WorstThird != 3 {
		t.Errorf("%s, worst third %d: %s", d.Verdict, d.WorstThird, d.Detail)
	}
}

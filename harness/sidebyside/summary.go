package sidebyside

import (
	"cmp"
	"math"
	"slices"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// What a figure cannot be told better than, on one host (metrology 2.6).
const (
	latencyUncertainty = 0.06 // ms
	tick               = 1e4  // µs: processor time is counted in these, but for Linux, where nanoseconds are
	ticks              = 2    // of a process that may be counted to the wrong side of a window
)

// confidence is that of the interval of a median, one-sided at each end.
const confidence = 0.975

// Summarise makes the figures of every system out of the parts. It is a pure
// function of them and of the seed.
func Summarise(c *reports.SideBySide) {
	measures := reports.BesideMeasures()
	for i := range c.Systems {
		s := &c.Systems[i]
		s.Rounds, s.Failed, s.Deliveries, s.Kills, s.Owed, s.Lost, s.Doubtful, s.Doubled = 0, "", 0, 0, 0, 0, 0, 0
		for _, p := range c.Parts {
			if p.System != i {
				continue
			}
			if p.Failed == "" {
				s.Rounds++
			} else if s.Failed == "" {
				s.Failed = p.Failed
			}
			s.Deliveries += p.Deliveries
			if p.Owed > 0 {
				s.Kills++
			}
			s.Owed, s.Lost, s.Doubtful, s.Doubled = s.Owed+p.Owed, s.Lost+p.Lost, s.Doubtful+p.Doubtful, s.Doubled+p.Doubled
		}
		s.Figures = make([]reports.BesideFigure, len(measures))
		for k, m := range measures {
			s.Figures[k] = figureOf(valuesOf(c, 0, m), valuesOf(c, i, m), i == 0, uncertainty(c, m), c.Seed)
		}
	}
	holm(c)
}

// holm takes back what one of so many comparisons shows by chance (Holm 1979): of all
// figures of a table together, one is called less or more wrongly in one table of a hundred.
func holm(c *reports.SideBySide) {
	var tests []*reports.BesideFigure
	for i := range c.Systems[1:] {
		for k := range c.Systems[i+1].Figures {
			if f := &c.Systems[i+1].Figures[k]; !math.IsNaN(float64(f.P)) {
				tests = append(tests, f)
			}
		}
	}
	slices.SortStableFunc(tests, func(a, b *reports.BesideFigure) int { return cmp.Compare(a.P, b.P) })
	shown := true
	for i, f := range tests {
		shown = shown && float64(f.P) < stats.CompareAlpha/float64(len(tests)-i)
		if !shown && (f.Standing == reports.AbreastLess || f.Standing == reports.AbreastMore) {
			f.Standing = reports.AbreastOpen
		}
	}
}

// valuesOf are the established figures of a system, one for each round.
func valuesOf(c *reports.SideBySide, system int, m reports.Measure) (values []float64) {
	for _, p := range c.Parts {
		if v := float64(m.In(p)); p.System == system && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

// uncertainty is that of a figure of one round, in its unit.
func uncertainty(c *reports.SideBySide, m reports.Measure) float64 {
	switch m.ID {
	case "latency-p50", "latency-p99":
		return latencyUncertainty
	case "cpu":
		if c.Environment["os"] == "linux" {
			return 0
		}
		least := math.Inf(1)
		for _, p := range c.Parts {
			if p.Deliveries > 0 {
				least = min(least, float64(p.Deliveries))
			}
		}
		return ticks * tick / least
	case "storm":
		return 1000 / c.Load.Calm // fresh data comes so often
	case "back":
		return 1000 / c.Load.Rate
	}
	return 0
}

// figureOf holds the figures of a system against those of the first.
func figureOf(first, own []float64, itself bool, uncertainty float64, seed uint64) reports.BesideFigure {
	nan := reports.Float(math.NaN())
	f := reports.BesideFigure{Rounds: len(own), Low: nan, High: nan, Ratio: nan, RatioLow: nan, RatioHi: nan, P: nan}
	sorted := slices.Sorted(slices.Values(own))
	f.Median = reports.Float(stats.Quantile(sorted, 0.5))
	if n := int64(len(sorted)); n > 0 {
		if l := stats.LowerIndex(n, 0.5, confidence); l > 0 {
			f.Low = reports.Float(sorted[l-1])
		}
		if u := stats.UpperIndex(n, 0.5, confidence); u > 0 {
			f.High = reports.Float(sorted[u-1])
		}
	}
	if itself {
		return f
	}
	f.Standing = reports.AbreastOpen
	if len(own) == 0 || len(first) == 0 {
		return f
	}
	compared := stats.Compare(first, own, uncertainty, seed)
	f.Ratio, f.RatioLow, f.RatioHi, f.P = reports.Float(compared.Ratio), reports.Float(compared.Low), reports.Float(compared.High), reports.Float(compared.P)
	switch {
	case !compared.Enough:
	case compared.Changed && compared.Ratio < 1:
		f.Standing = reports.AbreastLess
	case compared.Changed:
		f.Standing = reports.AbreastMore
	case !compared.Blind:
		f.Standing = reports.AbreastAlike
	}
	return f
}

package stats

import (
	"math"
	"slices"
	"sort"
)

// Stationarity is the outcome of the test for drift inside a run.
type Stationarity struct {
	Tested     bool // there were at least ten blocks
	Stationary bool
	P          float64 // two-sided Mann–Whitney, first against last third
	Blocks     int     // that were compared
	Slope      float64 // Theil–Sen, per block
	SlopeLow   float64 // 95 % interval
	SlopeHigh  float64
	Drift      float64 // slope over the whole run, in the unit of the values
	Worst      int     // third with the largest quantile, 1…3
}

const (
	driftBlocks    = 30   // slices of time that are compared
	driftMinBlocks = 10   // fewer say nothing
	driftAlpha     = 0.01 // of the Mann–Whitney test
	driftShare     = 0.05 // of the limit: a smaller drift is harmless
)

// Drift tests whether the q-quantile moved during the run. The run counts as
// stationary when the drift over it is at most 5 % of limit, or when neither
// test sees one: Mann–Whitney between the first and the last third of the
// blocks at 1 %, and a Theil–Sen slope whose 95 % interval holds zero.
func (s Series) Drift(q, limit float64) Stationarity {
	return s.sorted().drift(q, limit)
}

func (s Series) drift(q, limit float64) Stationarity {
	t := Stationarity{P: 1, Stationary: true}
	if len(s.Due) == 0 {
		return t
	}
	blocks := s.blockQuantiles(q, driftBlocks)
	t.Worst = s.worstThird(q)
	if len(blocks) < driftMinBlocks {
		return t
	}
	t.Tested, t.Blocks = true, len(blocks)
	third := len(blocks) / 3
	t.P = MannWhitney(blocks[:third], blocks[len(blocks)-third:])
	t.Slope, t.SlopeLow, t.SlopeHigh = TheilSen(blocks)
	t.Drift = t.Slope * float64(len(blocks))
	still := t.P >= driftAlpha && t.SlopeLow <= 0 && t.SlopeHigh >= 0
	t.Stationary = still || math.Abs(t.Drift) <= driftShare*limit
	return t
}

// Certain returns the least size, up or down, of the drift over the whole run
// that both tests together establish: 0 when either sees none, else the end of
// the 95 % interval of the slope that is nearer to zero.
func (t Stationarity) Certain() float64 {
	switch {
	case !t.Tested || t.P >= driftAlpha:
		return 0
	case t.SlopeLow > 0:
		return t.SlopeLow * float64(t.Blocks)
	case t.SlopeHigh < 0:
		return -t.SlopeHigh * float64(t.Blocks)
	default:
		return 0
	}
}

// blockQuantiles returns the q-quantile of each of count equal slices of time
// that hold samples. What never came counts as twice the largest value, so
// that slopes stay numbers.
func (s Series) blockQuantiles(q float64, count int) []float64 {
	largest := 0.0
	for _, v := range s.Value {
		if !math.IsInf(v, 1) {
			largest = math.Max(largest, v)
		}
	}
	var result []float64
	for i := range count {
		part := s.slice(i, count)
		if len(part.Value) == 0 {
			continue
		}
		values := slices.Clone(part.Value)
		sort.Float64s(values)
		result = append(result, math.Min(Quantile(values, q), 2*largest+1))
	}
	return result
}

// slice returns the i-th of count equal slices of time.
func (s Series) slice(i, count int) Series {
	start := s.Due[0]
	span := s.Due[len(s.Due)-1] - start + 1
	from := start + span*int64(i)/int64(count)
	to := start + span*int64(i+1)/int64(count)
	low := sort.Search(len(s.Due), func(k int) bool { return s.Due[k] >= from })
	high := sort.Search(len(s.Due), func(k int) bool { return s.Due[k] >= to })
	return Series{Due: s.Due[low:high], Value: s.Value[low:high]}
}

// worstThird returns 1, 2 or 3: the third of the run with the largest quantile.
func (s Series) worstThird(q float64) int {
	worst, most := 1, math.Inf(-1)
	for i := range 3 {
		values := slices.Clone(s.slice(i, 3).Value)
		sort.Float64s(values)
		if v := Quantile(values, q); v > most {
			worst, most = i+1, v
		}
	}
	return worst
}

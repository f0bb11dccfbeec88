package stats

import (
	"math"
	"slices"
	"sort"
	"time"
)

// Dependence is how far samples hang together, and what that costs.
type Dependence struct {
	VIF      float64       // variance inflation, at least 1
	Block    time.Duration // length of the time blocks it was taken over
	Blocks   int           // of them, those that hold samples
	Enough   bool          // at least MinBlocks blocks
	Doubled  float64       // VIF over blocks of twice the length
	Lengthen bool          // Doubled is more than 20 % above VIF: the run is too short
	Tau      time.Duration // integrated autocorrelation time of log-latency
	Episodes int64         // stretches of neighbouring samples above the first threshold
}

// lengthenAt is the rise of the VIF on doubling the block that shows the
// blocks to be too short.
const lengthenAt = 1.2

// tauBlocks is how many autocorrelation times a block lasts at least.
const tauBlocks = 10

// Measure returns the dependence of s: the largest over the thresholds of
// Var(X_block)/(m·p(1−p)), X_block being the exceedances in a block of time
// across all sources, m the samples in it and p the share of exceedances. The
// thresholds of DR-2 are the guarded limit and the sample quantile, in this
// order.
//
// Blocks are at least rule.MinBlock and ten times the integrated
// autocorrelation time of log-latency long, yet at most rule.MaxBlock; they are
// doubled while that raises the result by more than a fifth and rule.MinBlocks
// blocks remain.
//
// As m differs from block to block, the variance is that of X − p·m, which is
// the same thing for equal blocks.
func (s Series) Measure(thresholds []float64, rule Rule) Dependence {
	return s.sorted().measure(thresholds, rule.withDefaults())
}

// sorted returns s by Due; s itself when it is already.
func (s Series) sorted() Series {
	if slices.IsSorted(s.Due) {
		return s
	}
	by := Series{Due: slices.Clone(s.Due), Value: slices.Clone(s.Value)}
	sort.Stable(byDue(by))
	return by
}

// byDue implements sort.Interface over both columns of a series.
type byDue Series

// Len implements sort.Interface.
func (s byDue) Len() int { return len(s.Due) }

// Less implements sort.Interface.
func (s byDue) Less(i, j int) bool { return s.Due[i] < s.Due[j] }

// Swap implements sort.Interface.
func (s byDue) Swap(i, j int) {
	s.Due[i], s.Due[j] = s.Due[j], s.Due[i]
	s.Value[i], s.Value[j] = s.Value[j], s.Value[i]
}

func (s Series) measure(thresholds []float64, rule Rule) Dependence {
	d := Dependence{VIF: 1, Doubled: 1}
	if len(s.Due) == 0 {
		return d
	}
	d.Tau = s.autocorrelationTime()
	d.Block = max(rule.MinBlock, tauBlocks*d.Tau)
	if rule.MaxBlock > 0 {
		d.Block = min(d.Block, rule.MaxBlock)
	}
	d.VIF, d.Blocks = s.inflation(thresholds, d.Block)
	for {
		doubled, blocks := s.inflation(thresholds, 2*d.Block)
		d.Doubled = doubled
		d.Lengthen = doubled > lengthenAt*d.VIF
		if !d.Lengthen || blocks < rule.MinBlocks {
			break
		}
		d.Block, d.VIF, d.Blocks = 2*d.Block, doubled, blocks
	}
	d.Enough = d.Blocks >= rule.MinBlocks
	if len(thresholds) > 0 {
		d.Episodes = s.episodes(thresholds[0])
	}
	return d
}

// inflation returns the largest VIF over the thresholds, floor 1, and how many
// blocks hold samples. Samples behind the last whole block are left out.
func (s Series) inflation(thresholds []float64, block time.Duration) (vif float64, blocks int) {
	vif = 1
	start := s.Due[0]
	whole := (s.Due[len(s.Due)-1] - start + 1) / int64(block)
	n := sort.Search(len(s.Due), func(i int) bool { return s.Due[i]-start >= whole*int64(block) })
	for i, threshold := range thresholds {
		v, b := blockVariance(s.Due[:n], s.Value[:n], threshold, block)
		vif = math.Max(vif, v)
		if i == 0 {
			blocks = b
		}
	}
	return vif, blocks
}

// blockVariance returns Var(X − p·m)/(m̄·p(1−p)) over the blocks that hold
// samples, and their number. It is 0 when nothing or everything exceeds.
func blockVariance(due []int64, value []float64, threshold float64, block time.Duration) (float64, int) {
	if len(due) == 0 {
		return 0, 0
	}
	p := float64(countIf(value, threshold)) / float64(len(value))
	sum, blocks := 0.0, 0
	for i := 0; i < len(due); {
		end := due[0] + ((due[i]-due[0])/int64(block)+1)*int64(block)
		m, x := 0.0, 0.0
		for ; i < len(due) && due[i] < end; i++ {
			m++
			if value[i] > threshold {
				x++
			}
		}
		sum += (x - p*m) * (x - p*m)
		blocks++
	}
	if p == 0 || p == 1 || blocks < 2 {
		return 0, blocks
	}
	mean := float64(len(due)) / float64(blocks)
	return sum / float64(blocks-1) / (mean * p * (1 - p)), blocks
}

func countIf(value []float64, threshold float64) (n int64) {
	for _, v := range value {
		if v > threshold {
			n++
		}
	}
	return n
}

func (s Series) episodes(threshold float64) (n int64) {
	inside := false
	for _, v := range s.Value {
		if v > threshold && !inside {
			n++
		}
		inside = v > threshold
	}
	return n
}

// flat is the variance of log-latency below which values count as all equal:
// a part in 10⁹, far below any clock.
const flat = 1e-18

// maxSlots bounds the work of autocorrelationTime.
const maxSlots = 20_000

// autocorrelationTime returns the integrated autocorrelation time of the
// logarithm of the values: the slot length times 1 + 2·Σρₖ, the sum cut where
// the lag passes five times the estimate (Sokal's window). Slots hold one
// sample on average, or more when there are very many. The sum also ends where
// it reaches a tenth of the series: no block of ten times that fits, however
// far the dependence goes on.
func (s Series) autocorrelationTime() time.Duration {
	span := s.Due[len(s.Due)-1] - s.Due[0] + 1
	slots := min(int64(len(s.Due)), maxSlots)
	slot := max(span/slots, 1)
	x := s.slotMeans(slot)
	variance := autocovariance(x, 0)
	if len(x) < 4 || variance < flat {
		return time.Duration(slot)
	}
	tau := 1.0
	for lag := 1; lag < len(x)/2; lag++ {
		tau += 2 * autocovariance(x, lag) / variance
		if float64(lag) >= 5*tau || tauBlocks*tau >= float64(len(x)) {
			break
		}
	}
	return time.Duration(math.Max(tau, 1) * float64(slot))
}

// slotMeans returns the mean log-latency of each slot that holds samples, less
// the mean of them all. What never came counts as twice the largest value that
// did; what is zero or below (the clock gate reports it) as a microsecond of
// the unit.
func (s Series) slotMeans(slot int64) []float64 {
	largest := 1e-6
	for _, v := range s.Value {
		if !math.IsInf(v, 1) {
			largest = math.Max(largest, v)
		}
	}
	var means []float64
	for i := 0; i < len(s.Due); {
		end := s.Due[0] + ((s.Due[i]-s.Due[0])/slot+1)*slot
		sum, n := 0.0, 0.0
		for ; i < len(s.Due) && s.Due[i] < end; i++ {
			sum += math.Log(min(max(s.Value[i], 1e-6), 2*largest))
			n++
		}
		means = append(means, sum/n)
	}
	total := 0.0
	for _, m := range means {
		total += m
	}
	for i := range means {
		means[i] -= total / float64(len(means))
	}
	return means
}

func autocovariance(x []float64, lag int) float64 {
	sum := 0.0
	for i := lag; i < len(x); i++ {
		sum += x[i] * x[i-lag]
	}
	return sum / float64(max(len(x), 1))
}

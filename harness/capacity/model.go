package capacity

import (
	"math"
	"slices"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// Which steps say where something leads: those that lie apart by a ratio, for of near ones
// a line says what the noise is, and of which the largest is a share of the largest of all,
// for what a small load costs is mostly what the system costs without any.
const (
	apart = 2
	large = 0.5
)

// leastSteps is how many steps a model takes.
const leastSteps = 3

// crowds are the numbers of viewers, of either kind, and of devices to which a climb along
// them is projected.
var crowds = []float64{1e5, 1e6}

// projected are the axes that lead there.
var projected = []string{"viewers", "idle", "devices"}

// Model makes costs, growth and projections out of the steps that held. It is a pure function
// of them.
func Model(c *reports.Capacity) {
	var held []reports.CapacityStep
	for _, s := range c.Steps {
		if s.Held() {
			held = append(held, s)
		}
	}
	c.Each, c.Growth, c.Projections = []reports.UnitCost{}, []reports.Growth{}, []reports.Projection{}
	if len(held) < leastSteps {
		return
	}
	costs := []struct {
		of, unit string
		each     string  // unit of what one more costs
		of1      float64 // each in one unit
		in       func(reports.CapacityStep) reports.Float
	}{
		{"processor of the system", "cores", "millionths of a core", 1e6, func(s reports.CapacityStep) reports.Float { return s.Cores }},
		{"memory of the system", "MiB", "KiB", 1024, func(s reports.CapacityStep) reports.Float { return s.RSS }},
		{"latency p99", "ms", "", 0, func(s reports.CapacityStep) reports.Float { return s.LatencyP99 }},
	}
	for i, cost := range costs {
		x, y := make([]float64, len(held)), make([]float64, len(held))
		for k, s := range held {
			x[k], y[k] = s.Value, float64(cost.in(s))
		}
		median, least, most := spread(exponents(x, y))
		c.Growth = append(c.Growth, reports.Growth{Of: cost.of, Exponent: median, Least: least, Most: most, Steps: len(held)})
		if i > 1 {
			continue // how latency grows beyond the knee no line tells
		}
		one := cost.of1
		if c.Axis == "payload" {
			one *= 1024 // a KiB more
		}
		median, least, most = spread(overPairs(x, y, func(xa, ya, xb, yb float64) float64 { return one * (yb - ya) / (xb - xa) }))
		c.Each = append(c.Each, reports.UnitCost{Of: cost.of, Unit: cost.each, Value: median, Least: least, Most: most})
		if !slices.Contains(projected, c.Axis) {
			continue
		}
		for _, at := range crowds {
			median, least, most := spread(overPairs(x, y, func(xa, ya, xb, yb float64) float64 { return yb + (yb-ya)/(xb-xa)*(at-xb) }))
			c.Projections = append(c.Projections, reports.Projection{
				Of: cost.of, Unit: cost.unit, At: at, Value: median, Least: least, Most: most, Ratio: reports.Float(at / x[len(x)-1]),
			})
		}
	}
}

// overPairs returns what all pairs of points give that say where it leads. x ascends.
func overPairs(x, y []float64, f func(xa, ya, xb, yb float64) float64) (all []float64) {
	for i := range x {
		for k := i + 1; k < len(x); k++ {
			if x[k] >= apart*x[i] && x[k] >= large*x[len(x)-1] {
				all = append(all, f(x[i], y[i], x[k], y[k]))
			}
		}
	}
	return all
}

// exponents returns the e of a + b·x^e through all threes of points that say where it leads
// and rise. What a system costs without any load is in a.
func exponents(x, y []float64) (all []float64) {
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			for k := j + 1; k < len(x); k++ {
				if x[j] >= apart*x[i] && x[k] >= apart*x[j] && x[k] >= large*x[len(x)-1] && y[i] < y[j] && y[j] < y[k] {
					all = append(all, exponent(x[j]/x[i], x[k]/x[j], (y[k]-y[j])/(y[j]-y[i])))
				}
			}
		}
	}
	return all
}

// steepest is the largest power, of either sign, that is looked for.
const steepest = 8

// exponent solves rise = (up^e − 1) / (1 − down^−e), which grows with e, by halving; NaN
// where e would be steeper than looked for. down and up are the ratios between the points.
func exponent(down, up, rise float64) float64 {
	of := func(e float64) float64 {
		if e == 0 {
			return math.Log(up) / math.Log(down)
		}
		return math.Expm1(e*math.Log(up)) / -math.Expm1(-e*math.Log(down))
	}
	low, high := -float64(steepest), float64(steepest)
	if !(rise > of(low)) || !(rise < of(high)) {
		return math.NaN()
	}
	for range 60 {
		if e := (low + high) / 2; of(e) < rise {
			low = e
		} else {
			high = e
		}
	}
	return (low + high) / 2
}

// spread returns the median, the least and the most of what is finite; NaN where nothing is.
func spread(all []float64) (median, least, most reports.Float) {
	all = slices.DeleteFunc(all, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	slices.Sort(all)
	return reports.Float(stats.Quantile(all, 0.5)), reports.Float(stats.Quantile(all, 0)), reports.Float(stats.Quantile(all, 1))
}

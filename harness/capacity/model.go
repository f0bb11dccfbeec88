package capacity

import (
	"math"
	"slices"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// Which pairs of steps say where something leads: those that lie apart by a ratio, for
// of near ones a line says what the noise is, and of which the larger is a share of the
// largest, for what a small load costs is mostly what the system costs without any.
const (
	apart = 2
	large = 0.5
)

// leastSteps is how many steps a model takes.
const leastSteps = 3

// crowds are the numbers of viewers of either kind to which a climb along them is projected.
var crowds = []float64{1e5, 1e6}

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
		median, least, most := overPairs(x, y, func(xa, ya, xb, yb float64) float64 { return math.Log(yb/ya) / math.Log(xb/xa) })
		c.Growth = append(c.Growth, reports.Growth{Of: cost.of, Exponent: median, Least: least, Most: most, Steps: len(held)})
		if (c.Axis != "viewers" && c.Axis != "idle") || i > 1 {
			continue // how latency grows beyond the knee no line tells
		}
		median, least, most = overPairs(x, y, func(xa, ya, xb, yb float64) float64 { return cost.of1 * (yb - ya) / (xb - xa) })
		c.Each = append(c.Each, reports.UnitCost{Of: cost.of, Unit: cost.each, Value: median, Least: least, Most: most})
		for _, at := range crowds {
			median, least, most := overPairs(x, y, func(xa, ya, xb, yb float64) float64 { return yb + (yb-ya)/(xb-xa)*(at-xb) })
			c.Projections = append(c.Projections, reports.Projection{
				Of: cost.of, Unit: cost.unit, At: at, Value: median, Least: least, Most: most, Ratio: reports.Float(at / x[len(x)-1]),
			})
		}
	}
}

// overPairs returns the median, the least and the most of what all pairs of points give
// that say where it leads; NaN where there are none. x ascends.
func overPairs(x, y []float64, f func(xa, ya, xb, yb float64) float64) (median, least, most reports.Float) {
	var all []float64
	for i := range x {
		for k := i + 1; k < len(x); k++ {
			v := f(x[i], y[i], x[k], y[k])
			if x[k] >= apart*x[i] && x[k] >= large*x[len(x)-1] && !math.IsNaN(v) && !math.IsInf(v, 0) {
				all = append(all, v)
			}
		}
	}
	slices.Sort(all)
	return reports.Float(stats.Quantile(all, 0.5)), reports.Float(stats.Quantile(all, 0)), reports.Float(stats.Quantile(all, 1))
}

package render

import (
	"math"
	"strconv"

	"plumbline/reports"
)

// nines is the x coordinate of a percentile curve: 0.9 → 1, 0.99 → 2, so that
// every further nine takes the same room.
func nines(q float64) float64 { return -math.Log10(1 - q) }

// plotPercentiles draws the percentile curve: which share of the messages was
// at least so fast. A limit stands at its percentile; above its cap is the
// region that must stay empty.
func plotPercentiles(id string, d reports.Distribution) chart {
	const width = 560.0
	f := frame{left: 58, right: width - 20, top: 18, bottom: 238 + 15*float64(len(d.Limits))}
	c := newCanvas(width, f.bottom+44)
	far := 3.0
	for _, p := range d.Percentiles {
		if p.Q < 1 {
			far = max(far, nines(p.Q))
		}
	}
	for _, l := range d.Limits {
		far = max(far, nines(l.Q)+0.3)
	}
	far = min(far, 7)
	x := scale{low: 0, high: far, from: f.left, to: f.right}
	low, high := percentileRange(d)
	y := scale{low: low, high: high, from: f.bottom, to: f.top, log: true}
	c.yAxis(f, y, logTicks(low, high), "latency, ms (log)")
	c.xAxis(f, x, nineTicks(far), "percentile, % of messages (axis in nines)")
	c.limitCaps(f, x, y, d.Limits)
	var curve []point
	lost := math.NaN()
	for _, p := range d.Percentiles {
		if p.Q >= 1 || p.Q < 0 {
			continue
		}
		v := float64(p.Value)
		if math.IsInf(v, 1) {
			lost = x.at(nines(p.Q))
			break
		}
		curve = append(curve, point{x.at(nines(p.Q)), y.at(v)})
	}
	c.area("curve-area", curve, f.bottom)
	if !math.IsNaN(lost) && len(curve) > 0 {
		curve = append(curve, point{lost, f.top})
		c.text("limit-name", min(lost, f.right)-5, f.top+10, "end", "∞: never arrived")
	}
	c.path("curve", curve)
	for _, p := range d.Percentiles {
		if isRoundQuantile(p.Q) && !math.IsInf(float64(p.Value), 0) && !math.IsNaN(float64(p.Value)) {
			c.circle("dot", x.at(nines(p.Q)), y.at(float64(p.Value)), 3)
		}
	}
	name := "Percentile curve, " + d.Name
	return chart{Name: name, Plot: c.finish(id, name, describeDistribution(d)), Table: percentileTable(d, x)}
}

// percentileTable is the curve in figures, with the limit where there is one.
func percentileTable(d reports.Distribution, x scale) table {
	text := table{Head: []string{"Percentile", "Latency", "Limit"}}
	for _, p := range d.Percentiles {
		at, limit := nowhere, ""
		if p.Q >= 0 && p.Q < 1 {
			at = x.at(nines(p.Q))
		}
		for _, l := range d.Limits {
			if math.Abs(l.Q-p.Q) < 1e-9 {
				limit = quantity(l.Value, "ms")
			}
		}
		text.add(at, quantileName(p.Q), quantity(float64(p.Value), "ms"), limit)
	}
	return text
}

// limitCaps draws every limit as a cap over its percentile.
func (c *canvas) limitCaps(f frame, x, y scale, limits []reports.Limit) {
	for _, l := range limits {
		at, top := x.at(nines(l.Q)), y.at(l.Value)
		c.rect("forbidden", at-9, f.top, 18, top-f.top)
		c.line("limit-cap", at-9, top, at+9, top)
		if at-13-textWidth(l.Requirement) > f.left {
			c.text("limit-name", at-13, top+4, "end", l.Requirement)
		} else {
			c.text("limit-name", at+13, top+4, "start", l.Requirement)
		}
	}
}

// nineTicks marks 0, 50 and every further nine up to far.
func nineTicks(far float64) []tick {
	out := []tick{{0, "0"}, {nines(0.5), "50"}}
	label := "90"
	for n := 1; float64(n) <= far+1e-9; n++ {
		switch n {
		case 1:
		case 2:
			label = "99"
		case 3:
			label = "99.9"
		default:
			label += "9"
		}
		out = append(out, tick{float64(n), label})
	}
	return out
}

func percentileRange(d reports.Distribution) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, p := range d.Percentiles {
		if v := float64(p.Value); v > 0 && !math.IsInf(v, 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	for _, l := range d.Limits {
		low, high = min(low, l.Value), max(high, l.Value*1.3)
	}
	return logRange(low, high)
}

// itoa keeps plot ids short.
func itoa(n int) string { return strconv.Itoa(n) }

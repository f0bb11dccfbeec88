package render

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"plumbline/reports"
)

// plotDistribution draws how many messages took how long: bars per bucket over
// a logarithmic time axis, counts logarithmic too, so that a rare second mode
// or a single late message stays visible. The limits are drawn into it.
func plotDistribution(id string, d reports.Distribution) chart {
	limits, peaks := sortedLimits(d.Limits), modesOf(d)
	const width = 560.0
	top := 28 + 15*float64(len(limits))
	f := frame{left: 72, right: width - 14, top: top, bottom: top + 210}
	c := newCanvas(width, f.bottom+44)
	low, high := distributionRange(d)
	x := scale{low: low, high: high, from: f.left, to: f.right, log: true}
	most := 1.0
	for _, b := range d.Buckets {
		most = max(most, float64(b.Count))
	}
	// The axis begins below 1 so that a bucket with one message has a height.
	y := scale{low: 0.6, high: math.Pow(10, math.Ceil(math.Log10(most*1.05))), from: f.bottom, to: f.top, log: true}
	c.yAxis(f, y, decades(y.high), "messages per bucket (log)")
	text := table{Head: []string{"Latency, ms", "Messages"}}
	for _, b := range d.Buckets {
		if b.Count <= 0 || b.High <= 0 {
			continue
		}
		x1, x2 := x.at(max(b.Low, low)), x.at(b.High)
		c.rect("bar", x1+0.4, y.at(float64(b.Count)), max(x2-x1-0.8, 1), f.bottom-y.at(float64(b.Count)))
		text.add((x1+x2)/2, number(b.Low)+" to "+number(b.High), grouped(b.Count))
	}
	for _, m := range peaks {
		at := x.at(m.At)
		c.triangle("peak", at, f.top-3, 6)
	}
	c.xAxis(f, x, logTicks(low, high), "latency from the intended send instant, ms (log)")
	c.limitFlags(f, x, limits)
	name := "Latency distribution, " + d.Name
	return chart{Name: name, Plot: c.finish(id, name, describeDistribution(d)), Table: text}
}

// limitFlags draws each limit as a line with its name in a row of its own.
func (c *canvas) limitFlags(f frame, x scale, limits []reports.Limit) {
	for i, l := range limits {
		at := x.at(l.Value)
		y := 12 + 15*float64(i)
		c.line("limit", at, y+3, at, f.bottom)
		label := limitLabel(l)
		// Names stand left of their line: lines further left begin lower.
		if at-5-textWidth(label) > 0 {
			c.text("limit-name", at-5, y+7, "end", label)
		} else {
			c.text("limit-name", at+5, y+7, "start", label)
		}
	}
}

func limitLabel(l reports.Limit) string {
	return fmt.Sprintf("%s  %s ≤ %s ms", l.Requirement, quantileName(l.Q), number(l.Value))
}

func sortedLimits(limits []reports.Limit) []reports.Limit {
	out := append([]reports.Limit(nil), limits...)
	sort.SliceStable(out, func(i, j int) bool { return out[i].Value > out[j].Value })
	return out
}

// distributionRange returns the ends of the time axis: all samples and limits.
func distributionRange(d reports.Distribution) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, b := range d.Buckets {
		if b.Count > 0 {
			if b.Low > 0 {
				low = min(low, b.Low)
			} else {
				low = min(low, b.High/2)
			}
			high = max(high, b.High)
		}
	}
	for _, l := range d.Limits {
		high = max(high, l.Value*1.1)
	}
	return logRange(low, high)
}

// decades returns marks at the powers of ten up to high.
func decades(high float64) []tick {
	var out []tick
	step := 10.0
	if high > 1e6 {
		step = 100
	}
	for v := 1.0; v <= high*(1+1e-9); v *= step {
		out = append(out, tick{v, grouped(int64(v))})
	}
	return out
}

// describeDistribution is the text alternative of both latency plots.
func describeDistribution(d reports.Distribution) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s messages, %s never came. Least %s, mean %s, most %s.", grouped(d.N), grouped(d.Lost),
		quantity(float64(d.Min), "ms"), quantity(float64(d.Mean), "ms"), quantity(float64(d.Max), "ms"))
	for _, p := range d.Percentiles {
		if isRoundQuantile(p.Q) {
			fmt.Fprintf(&b, " %s %s.", quantileName(p.Q), quantity(float64(p.Value), "ms"))
		}
	}
	for _, l := range sortedLimits(d.Limits) {
		fmt.Fprintf(&b, " Limit %s.", limitLabel(l))
	}
	if text := modesText(modesOf(d)); text != "" {
		b.WriteString(" " + text)
	}
	return b.String()
}

func isRoundQuantile(q float64) bool {
	for _, round := range []float64{0.5, 0.9, 0.99, 0.999, 0.9999} {
		if math.Abs(q-round) < 1e-9 {
			return true
		}
	}
	return false
}

package render

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"plumbline/reports"
)

// plotHops draws where the time goes: each leg begins where the median of the
// one before ended; the thin line reaches to the leg's own p99.
func plotHops(id, scenario string, hops []reports.Hop) template.HTML {
	const width, row = 1040.0, 34.0
	f := frame{left: 236, right: width - 110, top: 8, bottom: 8 + row*float64(len(hops))}
	c := newCanvas(width, f.bottom+44)
	end := 0.0
	starts := make([]float64, len(hops))
	sum := 0.0
	for i, h := range hops {
		starts[i] = sum
		sum += finite(float64(h.P50))
		end = max(end, sum, starts[i]+finite(float64(h.P99)))
	}
	if end <= 0 {
		end = 1
	}
	x := scale{low: 0, high: end * 1.02, from: f.left, to: f.right}
	ticks := linearTicks(x.high, 8)
	for _, t := range ticks {
		c.line("grid", x.at(t.value), f.top, x.at(t.value), f.bottom)
	}
	for i, h := range hops {
		y := f.top + row*float64(i)
		from, mid, far := x.at(starts[i]), x.at(starts[i]+finite(float64(h.P50))), x.at(starts[i]+finite(float64(h.P99)))
		c.text("label", f.left-12, y+row/2-2, "end", h.Name)
		c.text("tick", f.left-12, y+row/2+11, "end", h.From+" → "+h.To)
		c.line("whisker", from, y+row/2, far, y+row/2)
		c.line("whisker", far, y+row/2-5, far, y+row/2+5)
		c.tipRect("bar", from, y+8, max(mid-from, 2), row-16, fmt.Sprintf("%s: p50 %s ms, p99 %s ms", h.Name, number(float64(h.P50)), number(float64(h.P99))))
		c.text("value", far+9, y+row/2+4, "start", number(float64(h.P50))+" / "+number(float64(h.P99))+" ms")
	}
	c.xAxis(f, x, ticks, "time since the intended instant, ms (bar: median, line: p99 of the leg)")
	return c.finish(id, "Where the time goes, "+scenario, describeHops(hops))
}

// finite turns what is not established or never arrived into 0 for drawing.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0
	}
	return v
}

func describeHops(hops []reports.Hop) string {
	var b strings.Builder
	for i, h := range hops {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s: median %s, p99 %s, %s messages.", h.Name, quantity(float64(h.P50), "ms"), quantity(float64(h.P99), "ms"), grouped(h.N))
	}
	return b.String()
}

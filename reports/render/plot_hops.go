package render

import (
	"fmt"
	"math"
	"strings"

	"plumbline/reports"
)

// plotHops draws where the time goes: each leg begins where, by medians, the way to
// its first point ended; the thin line reaches to the leg's own p99. budget are the
// declared limits of the whole way.
func plotHops(id, scenario string, hops []reports.Hop, budget []reports.Limit) chart {
	const width, row = 1040.0, 34.0
	f := frame{left: 236, right: width - 130, top: 8 + 15*float64(len(budget)), bottom: 8 + 15*float64(len(budget)) + row*float64(len(hops))}
	c := newCanvas(width, f.bottom+44)
	starts, end := hopStarts(hops)
	for legs, rest := end, budget; len(rest) > 0; rest = rest[1:] {
		if l := rest[0]; l.Value <= 4*legs { // one that lies far out would leave no room for the legs
			end = max(end, l.Value)
		}
	}
	x := scale{low: 0, high: end * 1.02, from: f.left, to: f.right}
	ticks := linearTicks(x.high, 8)
	for _, t := range ticks {
		c.line("grid", x.at(t.value), f.top, x.at(t.value), f.bottom)
	}
	c.topFlags(f, x, budget, limitLabel)
	for i, h := range hops {
		y := f.top + row*float64(i)
		from, mid, far := x.at(starts[i]), x.at(starts[i]+finite(float64(h.P50))), x.at(starts[i]+finite(float64(h.P99)))
		c.text("label", f.left-12, y+row/2-2, "end", cut(h.Name, 34))
		c.text("tick", f.left-12, y+row/2+11, "end", cut(h.From+" → "+h.To, 34))
		c.line("whisker", from, y+row/2, far, y+row/2)
		c.line("whisker", far, y+row/2-5, far, y+row/2+5)
		c.tipRect("bar", from, y+8, max(mid-from, 2), row-16, fmt.Sprintf("%s: p50 %s ms, p99 %s ms", h.Name, number(float64(h.P50)), number(float64(h.P99))))
		c.text("value", far+9, y+row/2+4, "start", number(float64(h.P50))+" / "+number(float64(h.P99))+" ms")
	}
	c.xAxis(f, x, ticks, "time since the intended instant, ms (bar: median, line: p99 of the leg)")
	name := "Where the time goes, " + scenario
	return chart{Name: name, Plot: c.finish(id, name, describeHops(hops, budget)), Table: hopTable(hops, budget), Wide: true}
}

// hopStarts places each leg at the median way to its first point, which the first
// leg that ends there tells, and returns where the last p99 ends.
func hopStarts(hops []reports.Hop) (starts []float64, end float64) {
	starts, reached := make([]float64, len(hops)), map[string]float64{}
	for i, h := range hops {
		starts[i] = reached[h.From]
		if _, known := reached[h.To]; !known && h.To != h.From {
			reached[h.To] = starts[i] + finite(float64(h.P50))
		}
		end = max(end, starts[i]+finite(float64(h.P50)), starts[i]+finite(float64(h.P99)))
	}
	if end <= 0 {
		end = 1
	}
	return starts, end
}

// topFlags draws limits above a plot with a label each; one beyond the axis points there.
func (c *canvas) topFlags(f frame, x scale, limits []reports.Limit, labelOf func(reports.Limit) string) {
	for i, l := range sortedLimits(limits) {
		y, label := 12+15*float64(i), labelOf(l)
		if l.Value > x.high {
			c.text("limit-name", f.right, y, "end", label+" →")
			continue
		}
		at := x.at(l.Value)
		c.line("limit", at, y+3, at, f.bottom)
		c.text("limit-name", at-5, y, "end", label)
	}
}

// hopTable gives each leg its share of the declared budget.
func hopTable(hops []reports.Hop, budget []reports.Limit) table {
	t := table{Head: []string{"Leg", "From", "To", "Messages", "Median", "p99"}}
	for _, l := range budget {
		if l.Q == 0.5 || l.Q == 0.99 {
			t.Head = append(t.Head, "of "+limitLabel(l))
		}
	}
	for _, h := range hops {
		cells := []string{h.Name, h.From, h.To, grouped(h.N), quantity(float64(h.P50), "ms"), quantity(float64(h.P99), "ms")}
		for _, l := range budget {
			switch l.Q {
			case 0.5:
				cells = append(cells, shareOf(float64(h.P50), l.Value))
			case 0.99:
				cells = append(cells, shareOf(float64(h.P99), l.Value))
			}
		}
		t.add(nowhere, cells...)
	}
	return t
}

func shareOf(v, limit float64) string {
	if !(limit > 0) {
		return "—"
	}
	return quantity(100*v/limit, "%")
}

// finite turns what is not established or never arrived into 0 for drawing.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0
	}
	return v
}

func describeHops(hops []reports.Hop, budget []reports.Limit) string {
	var parts []string
	for _, h := range hops {
		parts = append(parts, fmt.Sprintf("%s: median %s, p99 %s, %s messages.", h.Name, quantity(float64(h.P50), "ms"), quantity(float64(h.P99), "ms"), grouped(h.N)))
	}
	for _, l := range sortedLimits(budget) {
		parts = append(parts, "Declared for the whole way: "+limitLabel(l)+".")
	}
	return strings.Join(parts, " ")
}

package render

import (
	"fmt"
	"math"
	"sort"

	"plumbline/reports"
)

// plotRug draws the figure of every single run or event behind a measurement as a
// stroke, against the limit. It has no table of its own when there are few: the
// figures stand beside it.
func plotRug(id, name string, m *reports.Measurement) (chart, bool) {
	values, never := rugValues(m)
	if len(values)+never < 2 {
		return chart{}, false
	}
	const width = 560.0
	f := frame{left: 14, right: width - 14, top: 20, bottom: 52}
	c := newCanvas(width, f.bottom+40)
	end := 0.0
	for _, v := range values {
		end = max(end, v)
	}
	limit := float64(m.Limit)
	bounded := limit > 0 && !math.IsInf(limit, 0)
	if bounded && limit <= 20*end {
		end = max(end, limit)
	}
	if end <= 0 {
		end = 1
	}
	x := scale{low: 0, high: end * 1.04, from: f.left, to: f.right}
	c.rect("track", f.left, f.top, f.right-f.left, f.bottom-f.top)
	for _, v := range values {
		c.rect("stroke", min(x.at(v), f.right-2), f.top, 2, f.bottom-f.top)
	}
	label := "limit " + quantity(limit, m.Unit)
	switch {
	case bounded && limit > x.high:
		c.text("limit-name", f.right, 13, "end", label+" →")
	case bounded:
		at := x.at(limit)
		c.line("limit", at, 16, at, f.bottom)
		c.text("limit-name", at-4, 13, "end", label)
	}
	axis := m.Unit
	if axis == "" || axis == "1" {
		axis = "value"
	}
	c.xAxis(f, x, linearTicks(x.high, 8), axis)
	text := table{Head: []string{"Which", axis}}
	for i, v := range m.Runs {
		text.add(nowhere, itoa(i+1), number(float64(v)))
	}
	return chart{Name: name, Plot: c.finish(id, name, describeRug(m, values, never)), Table: text}, true
}

// rugValues are the figures that can be drawn, and how many never came to one.
func rugValues(m *reports.Measurement) (values []float64, never int) {
	if m == nil {
		return nil, 0
	}
	for _, r := range m.Runs {
		switch v := float64(r); {
		case math.IsNaN(v) || math.IsInf(v, 0):
			never++
		default:
			values = append(values, max(v, 0))
		}
	}
	return values, never
}

func describeRug(m *reports.Measurement, values []float64, never int) string {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	text := fmt.Sprintf("%d figures.", len(m.Runs))
	if n := len(sorted); n > 0 {
		text = fmt.Sprintf("%d figures: least %s, median %s, most %s.", len(m.Runs), quantity(sorted[0], m.Unit), quantity(sorted[(n-1)/2], m.Unit), quantity(sorted[n-1], m.Unit))
	}
	if never > 0 {
		text += fmt.Sprintf(" %d have none.", never)
	}
	return text + " Limit " + quantity(float64(m.Limit), m.Unit) + "."
}

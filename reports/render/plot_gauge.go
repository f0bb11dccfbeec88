package render

import (
	"html/template"
	"math"

	"plumbline/reports"
)

// plotGauge draws a figure against its limit in the height of a line of text:
// the mark at three quarters is the limit, the bar the estimate, the thin line
// the upper confidence bound. Empty when there is nothing to compare.
func plotGauge(m *reports.Measurement) template.HTML {
	if m == nil || !(float64(m.Limit) > 0) || math.IsInf(float64(m.Limit), 0) || math.IsNaN(float64(m.Estimate)) {
		return ""
	}
	const width, height, limitAt = 132.0, 18.0, 0.75
	c := newCanvas(width, height)
	place := func(v float64) float64 { return min(max(v/float64(m.Limit)*limitAt, 0), 1) * width }
	estimate := float64(m.Estimate)
	class := "bar"
	if estimate > float64(m.Limit) {
		class = "bar-over"
	}
	c.rect("track", 0, 6, width, 6)
	c.rect(class, 0, 6, max(place(estimate), 2), 6)
	if upper := float64(m.Upper); !math.IsNaN(upper) && place(upper)-place(estimate) > 3 {
		c.line("whisker", place(estimate), 9, place(upper), 9)
		c.line("whisker", place(upper), 5, place(upper), 13)
	}
	c.line("limit-cap", width*limitAt, 1, width*limitAt, 17)
	//nolint:gosec // numbers of ours only; the cell beside it says the same in words
	return template.HTML(`<svg class="gauge" viewBox="0 0 132 18" aria-hidden="true">` + c.b.String() + `</svg>`)
}

package render

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"plumbline/reports"
)

// plotLadder draws every way back of a viewer as a rung: from the loss of its
// connection over the new connection and the subscription to fresh data. limits are
// those times that the profile allows.
func plotLadder(id string, r reports.Recovery, limits []reports.Limit) chart {
	const width = 1040.0
	step := ladderStep(len(r.Returns))
	top := 10 + 15*float64(len(limits))
	f := frame{left: 150, right: width - 90, top: top, bottom: top + step*float64(len(r.Returns))}
	c := newCanvas(width, f.bottom+44)
	end := 1.0
	for _, b := range r.Returns {
		end = max(end, finite(float64(b.Back)), finite(float64(b.Subscribed)), finite(float64(b.Fresh)))
	}
	for _, l := range limits {
		if l.Value <= 3*end {
			end = max(end, l.Value)
		}
	}
	x := scale{low: 0, high: end * 1.02, from: f.left, to: f.right}
	ticks := linearTicks(x.high, 8)
	for _, t := range ticks {
		c.line("grid", x.at(t.value), f.top, x.at(t.value), f.bottom)
	}
	c.topFlags(f, x, limits, func(l reports.Limit) string { return l.Requirement + " ≤ " + number(l.Value) + " ms" })
	text, gap := table{Head: []string{"Viewer", "Lost at, s", "Fault", "Connected", "Subscribed", "Fresh data", "Said to be complete"}}, 0.0
	if step >= 5 {
		gap = min(step/4, 4)
	}
	every := max(int(12/step+0.999), 1)
	for i, b := range r.Returns {
		y := f.top + step*float64(i)
		if i%every == 0 {
			c.text("tick", f.left-8, y+step/2+4, "end", cut(b.Viewer, 22))
		}
		c.rung(f, x, y, step-gap, b)
		if step >= 12 {
			at := min(x.at(lastStep(b))+8, f.right+4)
			if math.IsNaN(float64(b.Fresh)) {
				at = f.right + 4 // the bar goes on to the edge
			}
			c.text("value", at, y+step/2+3, "start", stepText(b.Fresh))
		}
		text.add(nowhere, b.Viewer, number(b.Lost.Seconds()), b.Fault, stepText(b.Back), stepText(b.Subscribed), stepText(b.Fresh), completeText(b))
	}
	c.xAxis(f, x, ticks, "time since the viewer lost its connection, ms")
	name := "The way back, " + r.Scenario
	return chart{Name: name, Plot: c.finish(id, name, describeLadder(r, limits)), Table: text, Wide: true}
}

func ladderStep(n int) float64 {
	switch {
	case n <= 24:
		return 18
	case n <= 60:
		return 10
	default:
		return max(600/float64(n), 1.5)
	}
}

// rung draws one way back; one that did not end goes on to the edge.
func (c *canvas) rung(f frame, x scale, y, height float64, b reports.Return) {
	from := f.left
	for _, part := range []struct {
		class string
		at    reports.Float
	}{{"w-away", b.Back}, {"w-joining", b.Subscribed}, {"w-waiting", b.Fresh}} {
		if math.IsNaN(float64(part.at)) {
			c.rect("w-never", from, y, f.right-from, height)
			return
		}
		to := max(x.at(finite(float64(part.at))), from)
		c.rect(part.class, from, y, max(to-from, 0.5), height)
		from = to
	}
}

func lastStep(b reports.Return) float64 {
	return max(finite(float64(b.Back)), finite(float64(b.Subscribed)), finite(float64(b.Fresh)))
}

func stepText(v reports.Float) string {
	if math.IsNaN(float64(v)) {
		return "never"
	}
	return quantity(float64(v), "ms")
}

func completeText(b reports.Return) string {
	switch {
	case b.Recovered:
		return "yes"
	case b.Reason != "":
		return "no: " + b.Reason
	default:
		return "no"
	}
}

func describeLadder(r reports.Recovery, limits []reports.Limit) string {
	var fresh []float64
	never := 0
	for _, b := range r.Returns {
		if v := float64(b.Fresh); math.IsNaN(v) {
			never++
		} else {
			fresh = append(fresh, v)
		}
	}
	sort.Float64s(fresh)
	parts := []string{fmt.Sprintf("%d ways back.", len(r.Returns)+r.Omitted)}
	if n := len(fresh); n > 0 {
		parts = append(parts, fmt.Sprintf("From the loss to fresh data: least %s, median %s, most %s.", quantity(fresh[0], "ms"), quantity(fresh[(n-1)/2], "ms"), quantity(fresh[n-1], "ms")))
	}
	if never > 0 {
		parts = append(parts, fmt.Sprintf("%d never had fresh data again before the recording ended.", never))
	}
	if r.Omitted > 0 {
		parts = append(parts, fmt.Sprintf("%d are only in the records.", r.Omitted))
	}
	for _, l := range sortedLimits(limits) {
		parts = append(parts, fmt.Sprintf("Limit of %s: %s.", l.Requirement, quantity(l.Value, "ms")))
	}
	return strings.Join(parts, " ")
}

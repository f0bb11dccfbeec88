package render

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"plumbline/reports"
)

// capacityStyle colours a drawing that stands alone: a file that another page shows has no
// style sheet but its own.
const capacityStyle = `<style>text{font:11.5px Verdana,DejaVu Sans,sans-serif;fill:#57606a}.label{fill:#24292f;font-size:13px}.value{fill:#24292f;paint-order:stroke;stroke:#fff;stroke-width:3px}` +
	`.grid{stroke:#d8dee4}.base{stroke:#57606a}.curve,.curve-2{fill:none;stroke:#0b6bcb;stroke-width:2;stroke-linejoin:round}.curve-2{stroke:#8a5a00}` +
	`.held{fill:#0b6bcb}.gave{fill:#b42318}.limit,.knee{stroke:#b42318;stroke-dasharray:4 3}.limit-name{fill:#b42318}.back{fill:#fff}</style>`

// PlotCapacity draws how latency and processor time rose along the axis, as an SVG that
// stands alone: each step, what was allowed, and where something gave way.
func PlotCapacity(w io.Writer, c *reports.Capacity) error {
	c = cleanValue(reflect.ValueOf(c)).Interface().(*reports.Capacity)
	cv := newCanvas(760, 430)
	cv.rect("back", 0, 0, cv.width, cv.height)
	title := strings.TrimSpace(c.SUT.Name+" "+c.SUT.Version) + ", along " + axisName(c)
	cv.text("label", 60, 20, "start", title)
	x := capacityAxis(c)
	cv.latencies(c, x, frame{left: x.from, right: x.to, top: 52, bottom: 210})
	cv.processors(c, x, frame{left: x.from, right: x.to, top: 256, bottom: 385})
	text := strings.Replace(string(cv.finish("capacity", title, kneeText(c))), "<svg ", `<svg xmlns="http://www.w3.org/2000/svg" `, 1)
	_, err := io.WriteString(w, strings.Replace(text, "</desc>", "</desc>"+capacityStyle, 1)+"\n")
	return wrap("plot of a capacity", err)
}

// capacityAxis holds all steps.
func capacityAxis(c *reports.Capacity) scale {
	least, most := math.Inf(1), 0.0
	for _, s := range c.Steps {
		if s.Value > 0 {
			least = min(least, s.Value)
		}
		most = max(most, s.Value)
	}
	low, high := logRange(least, most)
	return scale{low: low, high: high, from: 60, to: 720, log: true}
}

// latencies draws p50 and p99 of each step.
func (c *canvas) latencies(of *reports.Capacity, x scale, f frame) {
	least, most := math.Inf(1), float64(of.LatencyMost)
	for _, s := range of.Steps {
		for _, v := range []float64{float64(s.LatencyP50), float64(s.LatencyP99)} {
			if v > 0 && !math.IsInf(v, 0) {
				least, most = min(least, v), max(most, v)
			}
		}
	}
	low, high := logRange(least, most)
	y := scale{low: low, high: high, from: f.bottom, to: f.top, log: true}
	c.yAxis(f, y, logTicks(low, high), "latency, ms")
	c.xAxis(f, x, logTicks(x.low, x.high), "")
	at := y.at(float64(of.LatencyMost))
	c.line("limit", f.left, at, f.right, at)
	c.text("limit-name", f.left+4, at-4, "start", number(float64(of.LatencyMost))+" ms allowed")
	c.steps(of, "curve-2", x, y, func(s reports.CapacityStep) float64 { return float64(s.LatencyP50) })
	c.steps(of, "curve", x, y, func(s reports.CapacityStep) float64 { return float64(s.LatencyP99) })
	for _, s := range of.Steps {
		class := "held"
		if !s.Held() {
			class = "gave"
		}
		c.circle(class, x.at(s.Value), y.at(cmp.Or(finite(float64(s.LatencyP99)), high)), 4)
	}
	c.carried(of, x, f)
	c.text("value", f.right, f.top-6, "end", "p99 blue, p50 brown; red did not hold")
}

// processors draws what the system and the bench used.
func (c *canvas) processors(of *reports.Capacity, x scale, f frame) {
	most := float64(max(of.Cores, 1))
	y := scale{low: 0, high: most, from: f.bottom, to: f.top}
	c.yAxis(f, y, linearTicks(most, 4), "cores")
	c.xAxis(f, x, logTicks(x.low, x.high), axisName(of))
	c.steps(of, "curve", x, y, func(s reports.CapacityStep) float64 { return float64(s.Cores) })
	c.steps(of, "curve-2", x, y, func(s reports.CapacityStep) float64 { return float64(s.BenchCores) })
	if last, _, held, _ := of.Knee(); held {
		c.line("knee", x.at(last.Value), f.top, x.at(last.Value), f.bottom)
	}
	c.text("value", f.right, f.top-6, "end", fmt.Sprintf("system blue, viewers and load brown, of %d", of.Cores))
}

// steps joins a figure of the steps; infinite ones are at the top, unknown ones left out.
func (c *canvas) steps(of *reports.Capacity, class string, x, y scale, figure func(reports.CapacityStep) float64) {
	var points []point
	for _, s := range of.Steps {
		points = append(points, point{x.at(s.Value), y.at(figure(s))})
	}
	c.path(class, points)
}

// carried marks the largest load that was carried.
func (c *canvas) carried(of *reports.Capacity, x scale, f frame) {
	last, _, held, gave := of.Knee()
	if !held {
		return
	}
	at, anchor := x.at(last.Value), "end"
	if at < f.left+120 {
		anchor = "start"
	}
	text := "carried: " + number(last.Value)
	if !gave {
		text += ", and all that was asked for"
	}
	c.line("knee", at, f.top, at, f.bottom)
	c.text("value", at, f.bottom-6, anchor, text+" ")
}

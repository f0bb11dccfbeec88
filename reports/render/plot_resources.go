package render

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"plumbline/reports"
)

// resourceCurves are four plots over one time axis with one table.
type resourceCurves struct {
	Name    string
	Plots   []template.HTML
	Table   table
	Caption string
}

// curve is one of the figures that Resources hold.
type curve struct {
	name, short, unit, axis string
	values                  []float64 // NaN where there is none
}

// plotResources draws what the system under test used of the machine.
func plotResources(id string, r reports.Resources) resourceCurves {
	curves := curvesOf(r)
	out := resourceCurves{Name: "Resources of the system under test, " + r.Name, Table: table{Head: []string{"At, s"}}}
	f := resourceFrame()
	x := scale{low: 0, high: resourceEnd(r), from: f.left, to: f.right}
	var told []string
	for i, cv := range curves {
		out.Table.Head = append(out.Table.Head, cv.short)
		text := describeCurve(cv)
		out.Plots = append(out.Plots, plotCurve(id+itoa(i), r.Name, cv, text, x, r))
		told = append(told, cv.name+" "+text)
	}
	for k, u := range r.Samples {
		cells := []string{number(u.At.Seconds())}
		for _, cv := range curves {
			cells = append(cells, quantity(cv.values[k], cv.unit))
		}
		out.Table.add(x.at(u.At.Seconds()), cells...)
	}
	out.Caption = strings.Join(told, " ")
	return out
}

func resourceFrame() frame { return frame{left: 62, right: 502, top: 12, bottom: 122} }

func resourceEnd(r reports.Resources) float64 {
	end := 0.1
	for _, u := range r.Samples {
		end = max(end, u.At.Seconds())
	}
	for _, w := range r.Faults {
		end = max(end, w.End.Seconds())
	}
	return end
}

// curvesOf takes the figures apart. CPU is the share of one core between two samples;
// after a restart, when the time begins anew, there is none.
func curvesOf(r reports.Resources) []curve {
	curves := []curve{{"CPU", "CPU", "%", "CPU, % of a core", nil}, {"Resident memory", "Memory", "MiB", "memory, MiB", nil},
		{"Open descriptors", "Descriptors", "", "descriptors", nil}, {"Threads", "Threads", "", "threads", nil}}
	for k, u := range r.Samples {
		cpu := math.NaN()
		if k > 0 {
			before := r.Samples[k-1]
			if took := u.At - before.At; took > 0 && u.CPU >= before.CPU {
				cpu = 100 * float64(u.CPU-before.CPU) / float64(took)
			}
		}
		files := math.NaN()
		if u.Files >= 0 {
			files = float64(u.Files)
		}
		for i, v := range []float64{cpu, float64(u.RSS) / (1 << 20), files, float64(u.Threads)} {
			curves[i].values = append(curves[i].values, v)
		}
	}
	return curves
}

// plotCurve draws one figure from 0 up, so that growth cannot look larger than it is.
func plotCurve(id, bench string, cv curve, text string, x scale, r reports.Resources) template.HTML {
	f := resourceFrame()
	c := newCanvas(516, f.bottom+40)
	_, most := extremes(cv.values)
	ticks := linearTicks(most*1.05, 4)
	y := scale{low: 0, high: max(most*1.1, 1e-9), from: f.bottom, to: f.top}
	for _, w := range r.Faults {
		x1, x2 := x.at(w.Onset.Seconds()), x.at(w.End.Seconds())
		c.tipRect("fault", x1, f.top, max(x2-x1, 1.5), f.bottom-f.top, w.Name)
	}
	c.yAxis(f, y, ticks, cv.axis)
	c.xAxis(f, x, linearTicks(x.high, 6), "s since the bench was opened")
	points := make([]point, len(cv.values))
	for k, v := range cv.values {
		points[k] = point{x.at(r.Samples[k].At.Seconds()), y.at(v)}
	}
	c.area("curve-area", points, f.bottom)
	c.path("curve", points)
	return c.finish(id, cv.name+" of the system under test, "+bench, text)
}

// extremes returns the least and the most of the values that are one; 0 and 1 when
// there is none.
func extremes(values []float64) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			least, most = min(least, v), max(most, v)
		}
	}
	if most < least {
		return 0, 1
	}
	return least, max(most, 1e-9)
}

func describeCurve(cv curve) string {
	first, last, n := math.NaN(), math.NaN(), 0
	for _, v := range cv.values {
		if math.IsNaN(v) {
			continue
		}
		if n == 0 {
			first = v
		}
		last = v
		n++
	}
	if n == 0 {
		return "was not measured."
	}
	least, most := extremes(cv.values)
	return fmt.Sprintf("began at %s and ended at %s, between %s and %s in %d samples.", quantity(first, cv.unit), quantity(last, cv.unit),
		quantity(least, cv.unit), quantity(most, cv.unit), n)
}

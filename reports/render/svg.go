package render

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// canvas collects the elements of one drawing. Colours come from the page's
// style sheet through classes, so that one drawing serves light, dark and print.
type canvas struct {
	b             strings.Builder
	width, height float64
}

func newCanvas(width, height float64) *canvas { return &canvas{width: width, height: height} }

// finish wraps the drawing. id makes the references of the text alternative
// unique in the page; title and description are what a screen reader says.
func (c *canvas) finish(id, title, description string) template.HTML {
	id = "plot-" + id
	//nolint:gosec // every part is a number of ours or passes escapeXML
	return template.HTML(fmt.Sprintf(
		`<svg class="plot" viewBox="0 0 %[1]s %[2]s" role="img" aria-labelledby="%[3]s-t %[3]s-d"><title id="%[3]s-t">%[4]s</title><desc id="%[3]s-d">%[5]s</desc>%[6]s</svg>`,
		Px(c.width), Px(c.height), id, escapeXML(title), escapeXML(description), c.b.String()))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, Px(x1), Px(y1), Px(x2), Px(y2))
}

func (c *canvas) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(&c.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, Px(x), Px(y), Px(max(w, 0)), Px(max(h, 0)))
}

// tipRect is a rect that tells its figure when pointed at.
func (c *canvas) tipRect(class string, x, y, w, h float64, tip string) {
	fmt.Fprintf(&c.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`,
		class, Px(x), Px(y), Px(max(w, 0)), Px(max(h, 0)), escapeXML(tip))
}

func (c *canvas) circle(class string, x, y, r float64) {
	fmt.Fprintf(&c.b, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`, class, Px(x), Px(y), Px(r))
}

// triangle points down to (x, y) from the given height above it.
func (c *canvas) triangle(class string, x, y, height float64) {
	fmt.Fprintf(&c.b, `<path class="%s" d="M%s %sH%sL%s %sZ"/>`, class, Px(x-height*2/3), Px(y-height), Px(x+height*2/3), Px(x), Px(y))
}

// text places s; anchor is start, middle or end.
func (c *canvas) text(class string, x, y float64, anchor, s string) {
	fmt.Fprintf(&c.b, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, class, Px(x), Px(y), anchor, escapeXML(s))
}

// upright places s turned by a quarter, reading upwards, for the name of a y axis.
func (c *canvas) upright(class string, x, y float64, s string) {
	fmt.Fprintf(&c.b, `<text class="%s" transform="translate(%s %s) rotate(-90)" text-anchor="middle">%s</text>`, class, Px(x), Px(y), escapeXML(s))
}

// point is a place on the canvas; a NaN breaks the path it belongs to.
type point struct{ x, y float64 }

// path draws straight lines through the points, lifting the pen at NaN.
func (c *canvas) path(class string, points []point) {
	var d strings.Builder
	pen := "M"
	for _, p := range points {
		if math.IsNaN(p.x) || math.IsNaN(p.y) {
			pen = "M"
			continue
		}
		d.WriteString(pen + Px(p.x) + " " + Px(p.y))
		pen = "L"
	}
	if d.Len() > 0 {
		fmt.Fprintf(&c.b, `<path class="%s" d="%s"/>`, class, d.String())
	}
}

// area fills between the points and the base line y, one piece per run of points.
func (c *canvas) area(class string, points []point, base float64) {
	for start := 0; start < len(points); {
		end := start
		for end < len(points) && !math.IsNaN(points[end].y) {
			end++
		}
		if end > start {
			var d strings.Builder
			d.WriteString("M" + Px(points[start].x) + " " + Px(base))
			for _, p := range points[start:end] {
				d.WriteString("L" + Px(p.x) + " " + Px(p.y))
			}
			d.WriteString("L" + Px(points[end-1].x) + " " + Px(base) + "Z")
			fmt.Fprintf(&c.b, `<path class="%s" d="%s"/>`, class, d.String())
		}
		start = end + 1
	}
}

// Px prints a coordinate of a drawing with at most one decimal, so that it does not
// depend on the last bits of a float.
func Px(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	text := strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	if text == "-0" {
		return "0"
	}
	return text
}

// textWidth estimates the width of s in the plot font, generously.
func textWidth(s string) float64 { return 6.3 * float64(len([]rune(s))) }

// scale maps values of an axis to the canvas.
type scale struct {
	low, high float64 // of the axis
	from, to  float64 // on the canvas
	log       bool
}

// at returns the place of v, clamped to the axis; NaN stays NaN.
func (s scale) at(v float64) float64 {
	if math.IsNaN(v) {
		return v
	}
	low, high := s.low, s.high
	v = min(max(v, low), high)
	if s.log {
		v, low, high = math.Log10(v), math.Log10(low), math.Log10(high)
	}
	if high <= low {
		return s.from
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// tick is one mark of an axis.
type tick struct {
	value float64
	label string
}

// What an axis reaches at most, whatever a summary says: beyond, a step between two
// marks or a sum of steps is no number any more. Latencies are in ms: from a
// femtosecond to thirty thousand years.
const (
	leastLog, mostLog       = 1e-9, 1e15
	leastLinear, mostLinear = 1e-300, 1e300
)

// logRange widens [low, high] to the next 1, 2 or 5 times a power of ten, within
// leastLog and mostLog.
func logRange(low, high float64) (float64, float64) {
	if !(low > 0) || math.IsInf(low, 0) {
		low = 0.1
	}
	low = min(max(low, leastLog), mostLog/10)
	if !(high > low) || math.IsInf(high, 0) {
		high = low * 10
	}
	high = min(high, mostLog)
	return roundStep(low, false), roundStep(high, true)
}

// roundStep returns the 1-2-5 step next to v, upwards or downwards.
func roundStep(v float64, up bool) float64 {
	base := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	steps := []float64{1, 2, 5, 10}
	if up {
		for _, s := range steps {
			if base*s >= v*(1-1e-9) {
				return base * s
			}
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if base*steps[i] <= v*(1+1e-9) {
			return base * steps[i]
		}
	}
	return base
}

// logTicks returns the marks of a logarithmic axis: every power of ten, and 2
// and 5 of each when the axis is short.
func logTicks(low, high float64) []tick {
	steps := []float64{1}
	if math.Log10(high/low) <= 2.5 {
		steps = []float64{1, 2, 5}
	}
	var out []tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, s := range steps {
			v := s * math.Pow(10, e)
			if v >= low*(1-1e-9) && v <= high*(1+1e-9) {
				out = append(out, tick{v, number(v)})
			}
		}
	}
	return out
}

// linearTicks returns about n round marks from 0 to high; 0 alone when high is not
// between leastLinear and mostLinear.
func linearTicks(high float64, n int) []tick {
	if !(high >= leastLinear && high <= mostLinear) {
		return []tick{{0, "0"}}
	}
	step := roundStep(high/float64(n), true)
	var out []tick
	for i := 0; float64(i)*step <= high*(1+1e-9); i++ {
		v := float64(i) * step
		out = append(out, tick{v, number(v)})
	}
	return out
}

// frame is the plotting area inside a canvas.
type frame struct{ left, right, top, bottom float64 }

// yAxis draws grid lines, marks and the name of the left axis.
func (c *canvas) yAxis(f frame, s scale, ticks []tick, name string) {
	for _, t := range ticks {
		y := s.at(t.value)
		c.line("grid", f.left, y, f.right, y)
		c.text("tick", f.left-7, y+3.8, "end", t.label)
	}
	c.upright("axis", 13, (f.top+f.bottom)/2, name)
}

// xAxis draws marks and the name of the bottom axis.
func (c *canvas) xAxis(f frame, s scale, ticks []tick, name string) {
	c.line("base", f.left, f.bottom, f.right, f.bottom)
	for _, t := range ticks {
		x := s.at(t.value)
		c.line("base", x, f.bottom, x, f.bottom+4)
		c.text("tick", x, f.bottom+17, "middle", t.label)
	}
	c.text("axis", (f.left+f.right)/2, f.bottom+35, "middle", name)
}

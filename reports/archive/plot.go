package archive

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"plumbline/reports/render"
)

// Measures of a trend in its own units.
const (
	plotWidth, plotHeight             = 1040.0, 190.0
	plotLeft, plotRight               = 62.0, 1026.0
	plotTop, plotBottom               = 22.0, 150.0
	sparkWidth, sparkHeight, sparkPad = 150.0, 30.0, 4.0
)

// Plot draws a series as a drawing for a page with Style: a dot for each run, the
// median of each stretch between change-points, and the change-points. id makes it
// unique in its page.
func Plot(id string, s *Series) template.HTML {
	var b strings.Builder
	low, high := extent(s)
	y := func(v float64) float64 {
		share := (math.Log(v+shift(low)) - math.Log(low+shift(low))) / (math.Log(high+shift(low)) - math.Log(low+shift(low)))
		return plotBottom - min(max(share, 0), 1)*(plotBottom-plotTop)
	}
	x := func(i int) float64 { return place(i, len(s.Points), plotLeft+8, plotRight-8) }
	for _, v := range marks(low, high) {
		fmt.Fprintf(&b, `<line class="grid" x1="%s" y1="%s" x2="%s" y2="%s"/><text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`,
			render.Px(plotLeft), render.Px(y(v)), render.Px(plotRight), render.Px(y(v)), render.Px(plotLeft-7), render.Px(y(v)+3.8), render.Number(v))
	}
	if limit := float64(s.Limit); limit >= low && limit <= high {
		fmt.Fprintf(&b, `<line class="limit" x1="%s" y1="%s" x2="%s" y2="%s"/>`, render.Px(plotLeft), render.Px(y(limit)), render.Px(plotRight), render.Px(y(limit)))
	}
	fmt.Fprintf(&b, `<line class="base" x1="%s" y1="%s" x2="%s" y2="%s"/>`, render.Px(plotLeft), render.Px(plotBottom), render.Px(plotRight), render.Px(plotBottom))
	s.drawStretches(&b, x, y)
	for i, p := range s.Points {
		tip := render.XMLText(fmt.Sprintf("run %s, %s: %s", p.Run, render.Date(p.Started), render.Quantity(float64(p.Value), s.Unit)))
		class, at := "dot", y(float64(p.Value))
		if math.IsInf(float64(p.Value), 0) {
			class, at = "dot never", plotTop
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%s" cy="%s" r="3.2"><title>%s</title></circle>`, class, render.Px(x(i)), render.Px(at), tip)
	}
	first, last := s.Points[0], s.Points[len(s.Points)-1]
	fmt.Fprintf(&b, `<text class="tick" x="%s" y="%s">%s</text>`, render.Px(plotLeft), render.Px(plotBottom+17), first.Started.Format(time.DateOnly))
	if len(s.Points) > 1 {
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`, render.Px(plotRight), render.Px(plotBottom+17), last.Started.Format(time.DateOnly))
	}
	fmt.Fprintf(&b, `<text class="axis" x="%s" y="%s" text-anchor="middle">%d runs, in the order in which they were started</text>`,
		render.Px((plotLeft+plotRight)/2), render.Px(plotBottom+17), len(s.Points))
	unit := s.Unit
	if unit == "1" {
		unit = "count"
	}
	fmt.Fprintf(&b, `<text class="axis" transform="translate(13 %s) rotate(-90)" text-anchor="middle">%s</text>`, render.Px((plotTop+plotBottom)/2), render.XMLText(unit))
	return drawing("plot", "trend-"+id, plotWidth, plotHeight-16, s.Requirement+" "+s.Label(), s.describe(), b.String())
}

// drawStretches draws the median of each stretch, and where one ends.
func (s *Series) drawStretches(b *strings.Builder, x func(int) float64, y func(float64) float64) {
	from := 0
	level := middle(s.values())
	if len(s.Changes) > 0 {
		level = float64(s.Changes[0].Before)
	}
	draw := func(to int, v float64) {
		if math.IsInf(v, 0) {
			return
		}
		fmt.Fprintf(b, `<line class="level" x1="%s" y1="%s" x2="%s" y2="%s"/>`, render.Px(x(from)-4), render.Px(y(v)), render.Px(x(to-1)+4), render.Px(y(v)))
	}
	for _, c := range s.Changes {
		draw(c.Index, level)
		class, word := "turn better", "better"
		if c.Worse() {
			class, word = "turn worse", "worse"
		}
		at := (x(c.Index-1) + x(c.Index)) / 2
		anchor := "start"
		if at > plotRight-170 {
			anchor = "end"
		}
		text := word
		if v := float64(c.Share); !math.IsInf(v, 0) && !math.IsNaN(v) {
			text = fmt.Sprintf("%+.0f %%", 100*v)
		}
		fmt.Fprintf(b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/><text class="%s" x="%s" y="%s" text-anchor="%s">%s · %s</text>`,
			class, render.Px(at), render.Px(plotTop-6), render.Px(at), render.Px(plotBottom), class, render.Px(at), render.Px(plotTop-10), anchor, text, render.XMLText(c.Run))
		from, level = c.Index, float64(c.After)
	}
	draw(len(s.Points), level)
}

// Spark draws a series as a small line without axes, for a row of a table.
func Spark(id string, s *Series) template.HTML {
	low, high := extent(s)
	var d strings.Builder
	pen := "M"
	for i, p := range s.Points {
		v := float64(p.Value)
		if math.IsInf(v, 0) {
			pen = "M"
			continue
		}
		share := (math.Log(v+shift(low)) - math.Log(low+shift(low))) / (math.Log(high+shift(low)) - math.Log(low+shift(low)))
		d.WriteString(pen + render.Px(place(i, len(s.Points), sparkPad, sparkWidth-sparkPad)) + " " + render.Px(sparkHeight-sparkPad-min(max(share, 0), 1)*(sparkHeight-2*sparkPad)))
		pen = "L"
	}
	b := fmt.Sprintf(`<path class="curve" d="%s"/>`, d.String())
	for _, c := range s.Changes {
		class := "turn better"
		if c.Worse() {
			class = "turn worse"
		}
		at := (place(c.Index-1, len(s.Points), sparkPad, sparkWidth-sparkPad) + place(c.Index, len(s.Points), sparkPad, sparkWidth-sparkPad)) / 2
		b += fmt.Sprintf(`<line class="%s" x1="%s" y1="0" x2="%s" y2="%s"/>`, class, render.Px(at), render.Px(at), render.Px(sparkHeight))
	}
	return drawing("spark", "spark-"+id, sparkWidth, sparkHeight, s.Requirement+" "+s.Label(), s.describe(), b)
}

// drawing wraps the elements with what a screen reader says.
func drawing(class, id string, width, height float64, title, description, elements string) template.HTML {
	//nolint:gosec // every part is a number of ours or passes XMLText
	return template.HTML(fmt.Sprintf(`<svg class="%[1]s" viewBox="0 0 %[2]s %[3]s" role="img" aria-labelledby="%[4]s-t %[4]s-d"><title id="%[4]s-t">%[5]s</title><desc id="%[4]s-d">%[6]s</desc>%[7]s</svg>`,
		class, render.Px(width), render.Px(height), id, render.XMLText(title), render.XMLText(description), elements))
}

// describe is the drawing in words.
func (s *Series) describe() string {
	values := s.values()
	text := fmt.Sprintf("%d runs, median %s, newest %s. ", len(values), render.Quantity(middle(values), s.Unit), render.Quantity(float64(s.Newest()), s.Unit))
	for _, c := range s.Changes {
		text += s.tell("Change", c) + ". "
	}
	return text + s.Why + "."
}

func (s *Series) values() []float64 {
	out := make([]float64, len(s.Points))
	for i, p := range s.Points {
		out[i] = float64(p.Value)
	}
	return out
}

// extent is the range of the finite figures, with room above and below.
func extent(s *Series) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range s.values() {
		if !math.IsInf(v, 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high || low == 0 && high == 0 {
		return 0, 1
	}
	if low < 0 { // a rate of change may be: then the axis is the plain one, moved
		return low - 0.1*(high-low), high + 0.1*(high-low) + 1e-9
	}
	return low / 1.15, high*1.15 + 1e-9
}

// shift moves an axis that holds 0 or less to where it has logarithms.
func shift(low float64) float64 {
	if low > 0 {
		return 0
	}
	return 1 - low
}

// marks are two to four values between low and high that are easily read.
func marks(low, high float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for (high-low)/step < 2 {
		step /= 2
	}
	for (high-low)/step > 4 {
		step *= 2
	}
	var out []float64
	for i := math.Ceil(low / step); i*step <= high && len(out) < 8; i++ {
		out = append(out, i*step)
	}
	return out
}

func place(i, n int, from, to float64) float64 {
	if n <= 1 {
		return (from + to) / 2
	}
	return from + float64(i)/float64(n-1)*(to-from)
}

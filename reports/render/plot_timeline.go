package render

import (
	"fmt"
	"math"
	"strings"
	"time"

	"plumbline/reports"
)

// plotTimeline draws latency over the run: median, p99 and the worst message of
// each slot, by the instant at which the messages were due. Injected faults are
// shaded; slots with messages that never came are marked at the foot.
func plotTimeline(id string, t reports.Timeline) chart {
	const width = 1040.0
	rows := faultRows(t)
	top := 16 + 15*float64(rows)
	f := frame{left: 58, right: width - 14, top: top, bottom: top + 200}
	c := newCanvas(width, f.bottom+44)
	end := timelineEnd(t)
	x := scale{low: 0, high: end, from: f.left, to: f.right}
	low, high := timelineRange(t)
	y := scale{low: low, high: high, from: f.bottom, to: f.top, log: true}
	c.faultWindows(f, x, t.Faults)
	c.yAxis(f, y, logTicks(low, high), "latency, ms (log)")
	c.xAxis(f, x, linearTicks(end, 10), "instant at which the message was due, s after the start of the scenario")
	var p50, p99, worst []point
	slot := t.Slot.Seconds()
	for _, p := range t.Points {
		at := x.at(p.At.Seconds() + slot/2)
		p50 = append(p50, point{at, finiteAt(y, float64(p.P50))})
		p99 = append(p99, point{at, finiteAt(y, float64(p.P99))})
		worst = append(worst, point{at, finiteAt(y, float64(p.Max))})
	}
	c.area("band", worst, f.bottom)
	c.path("worst", worst)
	c.path("curve-2", p99)
	c.path("curve", p50)
	text := table{Head: []string{"Due at, s", "Messages", "Never came", "Median", "p99", "Worst", "Fault"}}
	for _, p := range t.Points {
		x1, x2 := x.at(p.At.Seconds()), x.at(p.At.Seconds()+slot)
		if p.Lost > 0 {
			c.rect("lost", x1, f.bottom-6, max(x2-x1, 2), 6)
		}
		text.add((x1+x2)/2, number(p.At.Seconds()), grouped(p.Count), grouped(p.Lost), quantity(float64(p.P50), "ms"),
			quantity(float64(p.P99), "ms"), quantity(float64(p.Max), "ms"), faultsDuring(t.Faults, p.At, p.At+t.Slot))
	}
	name := "Latency over time, " + t.Name
	return chart{Name: name, Plot: c.finish(id, name, describeTimeline(t)), Table: text, Wide: true}
}

// faultsDuring names the faults that were on at some time of [from, to).
func faultsDuring(faults []reports.FaultWindow, from, to time.Duration) string {
	var names []string
	for _, w := range faults {
		if w.Onset < to && w.End >= from {
			names = append(names, w.Name)
		}
	}
	return strings.Join(names, ", ")
}

// faultWindows shades each fault and names it in a row of its own when names
// would overlap.
func (c *canvas) faultWindows(f frame, x scale, faults []reports.FaultWindow) {
	for i, w := range faults {
		x1, x2 := x.at(w.Onset.Seconds()), x.at(w.End.Seconds())
		row := 12 + 15*float64(faultRow(faults, i))
		c.rect("fault", x1, row+4, max(x2-x1, 2), f.bottom-row-4)
		anchor, at := "start", x1
		name := cut(w.Name, 60)
		if x1+textWidth(name) > f.right {
			anchor, at = "end", x2
		}
		c.text("fault-name", at, row, anchor, name)
	}
}

// maxFaultRows bounds the room that the names of faults may take.
const maxFaultRows = 3

// faultRow spreads many faults over a few rows, in turn.
func faultRow(faults []reports.FaultWindow, i int) int {
	if len(faults) <= 1 {
		return 0
	}
	return i % min(len(faults), maxFaultRows)
}

func faultRows(t reports.Timeline) int { return min(len(t.Faults), maxFaultRows) }

func timelineEnd(t reports.Timeline) float64 {
	end := 1.0
	if n := len(t.Points); n > 0 {
		end = (t.Points[n-1].At + t.Slot).Seconds()
	}
	for _, w := range t.Faults {
		end = max(end, w.End.Seconds())
	}
	return end
}

func timelineRange(t reports.Timeline) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, p := range t.Points {
		for _, v := range []float64{float64(p.P50), float64(p.P99), float64(p.Max)} {
			if v > 0 && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	return logRange(low, high)
}

// finiteAt places v; what never arrived breaks the line and is marked.
func finiteAt(s scale, v float64) float64 {
	if math.IsInf(v, 0) || v <= 0 {
		return math.NaN()
	}
	return s.at(v)
}

func describeTimeline(t reports.Timeline) string {
	worst, at, lost := 0.0, 0.0, int64(0)
	for _, p := range t.Points {
		lost += p.Lost
		if v := float64(p.Max); v > worst && !math.IsInf(v, 0) {
			worst, at = v, p.At.Seconds()
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d slots of %s. The latest message that arrived took %s and was due at %s s. %s messages never came.",
		len(t.Points), span(t.Slot), quantity(worst, "ms"), number(at), grouped(lost))
	for _, w := range t.Faults {
		fmt.Fprintf(&b, " Fault %s from %s s to %s s.", w.Name, number(w.Onset.Seconds()), number(w.End.Seconds()))
	}
	return b.String()
}

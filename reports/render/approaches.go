package render

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"plumbline/reports"
)

// ErrApproaches marks a run that compared no approaches.
var ErrApproaches = errors.New("the run compared no approaches")

// Approaches writes what a run compared as tables in Markdown: what is said of the approaches
// with what was measured, the approaches side by side, and under which conditions. A run
// without a comparison is ErrApproaches.
func Approaches(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	if len(run.Comparisons) == 0 {
		return fmt.Errorf("render: approaches: %w", ErrApproaches)
	}
	var b strings.Builder
	claims := table{Head: claimHead()}
	for _, c := range run.Comparisons {
		claims.Rows = append(claims.Rows, claimTable(c).Rows...)
	}
	markdownTable(&b, claims, 2)
	for _, c := range run.Comparisons {
		if len(c.Approaches) > 0 {
			b.WriteString("\n")
			markdownTable(&b, approachTable(c), 1)
		}
		b.WriteString("\n")
		for _, text := range c.Conditions {
			b.WriteString("- " + md(text) + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n", md(fmt.Sprintf("%s %s, run %s of %s, %s. Results relate only to the item tested, under these conditions.",
		run.SUT.Name, run.SUT.Version, run.ID, run.Started.UTC().Format("2006-01-02"), machineOf(run))))
	_, err := io.WriteString(w, b.String())
	return wrap("approaches", err)
}

// machineOf names the machine of a run.
func machineOf(run *reports.Run) string {
	var parts []string
	for _, name := range []string{"cpu", "memory", "os"} {
		if text := run.Environment[name]; text != "" {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return "on a machine that it does not name"
	}
	return strings.Join(parts, ", ")
}

// markdownTable writes a table whose first columns are text and the others figures.
func markdownTable(b *strings.Builder, t table, texts int) {
	b.WriteString("|")
	for _, name := range t.Head {
		b.WriteString(" " + md(name) + " |")
	}
	b.WriteString("\n|")
	for i := range t.Head {
		if i < texts || texts == 2 {
			b.WriteString("---|")
		} else {
			b.WriteString("---:|")
		}
	}
	b.WriteString("\n")
	for _, row := range t.Rows {
		b.WriteString("|")
		for _, cell := range row.Cells {
			b.WriteString(" " + md(cell) + " |")
		}
		b.WriteString("\n")
	}
}

func claimHead() []string { return []string{"what is said", "verdict", "measured"} }

// claimTable has a row for everything that is said.
func claimTable(c reports.Comparison) table {
	t := table{Head: claimHead()}
	for _, claim := range c.Claims {
		t.add(nowhere, capital(claim.Text), string(claim.Standing), claim.Figure)
	}
	return t
}

// approachTable has a row for every approach.
func approachTable(c reports.Comparison) table {
	t := table{Head: []string{
		"approach", "latency p50 / p99, ms", "age shown p50 / p99, ms", "wire, B a reading", "of it message", "headers, frames", "TLS", "TCP/IP", "headers, frames a message, B",
		"requests a second", "connections", "left out for newer, %", "bridge CPU, µs a reading", "× WebSocket", "viewer CPU, µs a reading", "× WebSocket",
	}}
	for _, a := range c.Approaches {
		b := a.Bytes
		t.add(nowhere, capital(a.Name), pairOf(a.LatencyP50, a.LatencyP99), pairOf(a.AgeP50, a.AgeP99), figure(b.Wire), figure(b.Message), figure(b.Framing), figure(b.TLS), figure(b.TCPIP),
			figure(a.Overhead), figure(a.Requests), figure(a.Connections), figure(conflatedShare(a)), figure(a.Bridge.PerReading), ratioText(a.Bridge), figure(a.Client.PerReading), ratioText(a.Client))
	}
	return t
}

// conflatedShare is the share of readings that were left out for newer ones, and declared so.
func conflatedShare(a reports.Approach) float64 {
	if a.Conflated == 0 {
		return 0
	}
	return 100 * float64(a.Conflated) / float64(a.Conflated+a.Readings)
}

func pairOf(a, b reports.Float) string { return figure(a) + " / " + figure(b) }

// ratioText is a ratio with the least and the most of any round.
func ratioText(c reports.CPU) string {
	if math.IsNaN(float64(c.Ratio)) {
		return figure(c.Ratio)
	}
	return fmt.Sprintf("%s (%s to %s)", figure(c.Ratio), figure(c.Least), figure(c.Most))
}

// comparisonView is a comparison, arranged for the page.
type comparisonView struct {
	reports.Comparison
	Claims  table
	Table   table
	Plot    chart
	Caption string
}

func viewComparisons(run *reports.Run) (out []comparisonView) {
	for i, c := range run.Comparisons {
		v := comparisonView{Comparison: c, Claims: claimTable(c), Table: approachTable(c)}
		if len(c.Approaches) > 0 {
			v.Plot, v.Caption = plotApproaches("a"+itoa(i), c), describeApproaches(c)
		}
		out = append(out, v)
	}
	return out
}

// layer is a part of the bytes that a reading takes.
type layer struct {
	class, name string
	of          func(reports.Layers) reports.Float
}

func layers() []layer {
	return []layer{
		{"l-message", "messages", func(l reports.Layers) reports.Float { return l.Message }},
		{"l-framing", "headers and frames", func(l reports.Layers) reports.Float { return l.Framing }},
		{"l-tls", "TLS", func(l reports.Layers) reports.Float { return l.TLS }},
		{"l-tcp", "TCP/IP", func(l reports.Layers) reports.Float { return l.TCPIP }},
	}
}

// plotApproaches draws for what bytes are used, a bar for each approach, and beside it how old
// the values are that it shows.
func plotApproaches(id string, c reports.Comparison) chart {
	const width, row = 1040.0, 30.0
	f := frame{left: 320, right: width - 210, top: 8, bottom: 8 + row*float64(len(c.Approaches))}
	plot := newCanvas(width, f.bottom+44)
	most := 1.0
	for _, a := range c.Approaches {
		most = max(most, sumOf(a.Bytes))
	}
	x := scale{low: 0, high: most * 1.02, from: f.left, to: f.right}
	ticks := linearTicks(x.high, 8)
	for _, t := range ticks {
		plot.line("grid", x.at(t.value), f.top, x.at(t.value), f.bottom)
	}
	for i, a := range c.Approaches {
		y, at := f.top+row*float64(i), 0.0
		plot.text("label", f.left-12, y+row/2+4, "end", cut(capital(a.Name), 42))
		for _, l := range layers() {
			bytes := finite(float64(l.of(a.Bytes)))
			from, to := x.at(at), x.at(at+bytes)
			plot.tipRect(l.class, from, y+6, to-from, row-12, fmt.Sprintf("%s: %s %s B a reading", a.Name, l.name, number(float64(l.of(a.Bytes)))))
			at += bytes
		}
		plot.text("value", x.at(at)+8, y+row/2+4, "start", number(float64(a.Bytes.Wire))+" B, shows "+number(float64(a.AgeP50))+" ms")
	}
	plot.xAxis(f, x, ticks, "bytes a reading on the wire, both directions; beside it the median age of what is shown")
	return chart{Name: c.Title, Plot: plot.finish(id, c.Title, describeApproaches(c)), Table: approachTable(c), Wide: true}
}

func sumOf(l reports.Layers) (sum float64) {
	for _, one := range layers() {
		sum += finite(float64(one.of(l)))
	}
	return sum
}

func describeApproaches(c reports.Comparison) string {
	var parts []string
	for _, a := range c.Approaches {
		parts = append(parts, fmt.Sprintf("%s: %s a reading on the wire, median age %s.", capital(a.Name), quantity(float64(a.Bytes.Wire), "B"), quantity(float64(a.AgeP50), "ms")))
	}
	return strings.Join(parts, " ")
}

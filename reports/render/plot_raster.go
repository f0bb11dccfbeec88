package render

import (
	"fmt"
	"strings"
	"time"

	"plumbline/reports"
)

// fates says what each letter of reports.Fates is, by its style class and in words.
var fates = map[byte]struct{ class, text string }{
	'o': {"f-ok", "all came once and in order"},
	'b': {"f-blocked", "could not be sent"},
	'd': {"f-twice", "came twice"},
	'r': {"f-order", "came out of order"},
	'u': {"f-open", "did not come, perhaps not by fault of the system"},
	'c': {"f-corrupt", "came damaged"},
	'p': {"f-phantom", "came and was of nobody"},
	'l': {"f-lost", "was lost"},
}

const (
	maxTips       = 1500 // cells that tell their story when pointed at
	maxRasterRows = 100  // irregular stretches listed below the plot
)

// plotRaster draws what became of the messages of every device, slot by slot. Rows
// get lower the more there are; those where something went wrong are named at the
// right, however many there are.
func plotRaster(id string, r reports.Raster) chart {
	const width = 1040.0
	step := rasterStep(len(r.Rows))
	f := frame{left: 150, right: width - 150, top: 8, bottom: 8 + step*float64(len(r.Rows))}
	c := newCanvas(width, f.bottom+44)
	slots := 1
	for _, row := range r.Rows {
		slots = max(slots, len(row.Cells))
	}
	slot := r.Slot.Seconds()
	x := scale{low: 0, high: float64(slots) * max(slot, 1e-9), from: f.left, to: f.right}
	text, fine, tips := table{Head: []string{"Device", "From, s", "To, s", "What"}}, strings.Builder{}, 0
	lastName := -100.0
	for i, row := range r.Rows {
		y := f.top + step*float64(i)
		gap := 0.0
		if step >= 5 {
			gap = 1
		}
		rasterNames(c, f, r.Rows, i, y, step, &lastName)
		for from, to := range stretches(row.Cells) {
			fate, known := fates[row.Cells[from]]
			if !known {
				continue
			}
			x1, x2 := x.at(float64(from)*slot), x.at(float64(to)*slot)
			if row.Cells[from] == 'o' {
				fmt.Fprintf(&fine, "M%s %sH%sV%sH%sZ", Px(x1), Px(y), Px(x2), Px(y+step-gap), Px(x1))
				continue
			}
			if tips++; tips <= maxTips {
				c.tipRect("cell "+fate.class, x1, y, max(x2-x1, 1.5), step-gap, fmt.Sprintf("%s, %s to %s s: %s", row.Device, number(float64(from)*slot), number(float64(to)*slot), fate.text))
			} else {
				c.rect("cell "+fate.class, x1, y, max(x2-x1, 1.5), step-gap)
			}
			if len(text.Rows) < maxRasterRows {
				text.add(nowhere, row.Device, number(float64(from)*slot), number(float64(to)*slot), fate.text)
			}
		}
	}
	if len(text.Rows) == 0 {
		text.add(nowhere, "every one", "0", number(x.high), "nothing irregular")
	}
	c.b.WriteString(`<path class="f-ok" d="` + fine.String() + `"/>`)
	c.xAxis(f, x, linearTicks(x.high, 10), "instant at which the messages were due, s after the first")
	name := "Integrity by device and time, " + r.Scenario
	return chart{Name: name, Plot: c.finish(id, name, describeRaster(r)), Table: text, Wide: true}
}

// rasterStep is the height of a row: so low for many devices that they fit on a
// screen or two, never so low that one cannot be seen.
func rasterStep(rows int) float64 {
	switch {
	case rows <= 24:
		return 16
	case rows <= 60:
		return 10
	case rows <= 250:
		return 5
	default:
		return max(1200/float64(rows), 1.5)
	}
}

// rasterNames writes the name of row i at the left, where there is room for it, and
// of an irregular one at the right.
func rasterNames(c *canvas, f frame, rows []reports.RasterRow, i int, y, step float64, last *float64) {
	every := max(int(12/step+0.999), 1)
	if i%every == 0 {
		c.text("tick", f.left-8, y+min(step, 12)-2+max(step-12, 0)/2, "end", cut(rows[i].Device, 22))
	}
	if worst := gravest(rows[i].Cells); worst != '.' && worst != 'o' && y-*last >= 11 {
		class := "fault-name"
		if worst == 'b' || worst == 'u' {
			class = "tick"
		}
		c.text(class, f.right+8, y+step/2+4, "start", cut(rows[i].Device, 22))
		*last = y
	}
}

// stretches yields the ends [from, to) of runs of equal letters.
func stretches(cells string) func(func(int, int) bool) {
	return func(yield func(int, int) bool) {
		for from := 0; from < len(cells); {
			to := from + 1
			for to < len(cells) && cells[to] == cells[from] {
				to++
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// gravest is the letter that speaks for a row; '.' when nothing was due.
func gravest(cells string) byte {
	worst := 0
	for i := range len(cells) {
		worst = max(worst, strings.IndexByte(reports.Fates, cells[i]))
	}
	return reports.Fates[worst]
}

func describeRaster(r reports.Raster) string {
	counts := map[byte]int{}
	for _, row := range r.Rows {
		counts[gravest(row.Cells)]++
	}
	parts := []string{fmt.Sprintf("%s in slots of %s.", devicesText(len(r.Rows)), span(max(r.Slot, time.Microsecond)))}
	for _, letter := range []byte(reports.Fates) {
		if n := counts[letter]; n > 0 && letter != '.' && letter != 'o' {
			parts = append(parts, fmt.Sprintf("%s: at worst a message %s.", devicesText(n), fates[letter].text))
		}
	}
	if n := counts['o']; n > 0 {
		parts = append(parts, devicesText(n)+": every message came once and in order.")
	}
	return strings.Join(parts, " ")
}

func devicesText(n int) string {
	if n == 1 {
		return "1 device"
	}
	return grouped(int64(n)) + " devices"
}

package render

import (
	"html/template"
	"math"
)

// chart is a plot with its text equivalent: the same figures as a table. Where a
// row of the table belongs to a place on the x axis the page's script shows it when
// that place is pointed at.
type chart struct {
	Name  string
	Plot  template.HTML
	Table table
	Wide  bool // as wide as the page
}

// table is the text equivalent of a plot.
type table struct {
	Head []string
	Rows []tableRow
}

type tableRow struct {
	X     string // on the canvas of the plot, "" for none
	Cells []string
}

// add appends a row at x of the canvas; NaN is no place.
func (t *table) add(x float64, cells ...string) {
	place := ""
	if !math.IsNaN(x) {
		place = Px(x)
	}
	t.Rows = append(t.Rows, tableRow{X: place, Cells: cells})
}

// nowhere is the x of rows that belong to no place of the plot.
var nowhere = math.NaN()

package tables

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"plumbline/reports/internal/plain"
)

// CSV writes rows of one type as CSV by RFC 4180, in UTF-8 without a byte order
// mark: a header, lines that end in CR LF, quotes where they are needed.
//
// Text is one line of visible characters, and what a spreadsheet would take for a
// formula, at its beginning or behind a semicolon, begins with an apostrophe. Numbers
// are written with as many digits as it takes to read them back; infinities are inf
// and -inf.
type CSV[Row any] struct {
	w      *csv.Writer
	fields int
}

// NewCSV writes the header. Row must be a struct; see Columns.
func NewCSV[Row any](w io.Writer) (*CSV[Row], error) {
	columns := Columns[Row]()
	out := csv.NewWriter(w)
	out.UseCRLF = true
	return &CSV[Row]{w: out, fields: len(columns)}, out.Write(columns)
}

// Write appends a row.
func (c *CSV[Row]) Write(row Row) error {
	v := reflect.ValueOf(row)
	cells := make([]string, c.fields)
	for i := range cells {
		text, err := cell(v.Field(i))
		if err != nil {
			return fmt.Errorf("tables: column %d of %T: %w", i+1, row, err)
		}
		cells[i] = text
	}
	return c.w.Write(cells)
}

// Close writes what is still held back. It does not close the writer below.
func (c *CSV[Row]) Close() error {
	c.w.Flush()
	return c.w.Error()
}

// Columns returns the names of the columns of a table.
func Columns[Row any]() (names []string) {
	typ := reflect.TypeFor[Row]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("parquet"), ",")
		names = append(names, name)
	}
	return names
}

// cell prints one value.
func cell(v reflect.Value) (string, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", nil
		}
		v = v.Elem()
	}
	if t, isTime := v.Interface().(time.Time); isTime {
		if t.IsZero() {
			return "", nil
		}
		return t.UTC().Format(time.RFC3339Nano), nil
	}
	switch v.Kind() {
	case reflect.String:
		return inert(plain.Text(v.String())), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int64, reflect.Int32:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint64, reflect.Uint32, reflect.Uint8:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float64:
		return figure(v.Float()), nil
	}
	return "", fmt.Errorf("no cell holds a %s", v.Type())
}

func figure(f float64) string {
	switch {
	case math.IsNaN(f):
		return ""
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// formula are the characters that make a spreadsheet calculate what a cell says
// (OWASP, CSV injection), the full-width ones among them. Tabs and line ends, which
// do as well, are spaces by then.
const formula = "=+@＝＋－＠-" // as a class of a regular expression: the hyphen is last

// formulaAt matches where a cell would begin with one: at the beginning of a text,
// and behind a semicolon, at which a spreadsheet of half of the world's languages
// splits lines. Some look behind spaces.
var formulaAt = regexp.MustCompile("(^|;)([ \u00a0\u3000]*[" + formula + "])")

// inert keeps a spreadsheet from calculating what a text says.
func inert(text string) string { return formulaAt.ReplaceAllString(text, "$1'$2") }

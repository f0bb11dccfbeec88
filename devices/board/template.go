package board

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Placeholder stands for the value in a Template.
const Placeholder = "{value}"

// maxTemplate bounds a line, in bytes.
const maxTemplate = 256

// Template is a line with a value in it, or without.
type Template struct {
	before, after string
	valued        bool
	end           string // what ends the line
}

// ParseTemplate reads a line in which Placeholder, once at most, stands for the
// value. It ends as the text does: with CR, LF or both; with LF when the text has no
// end. The error says what is wrong with it.
func ParseTemplate(text string) (Template, error) {
	line := strings.TrimRight(text, "\r\n")
	end := cmp.Or(text[len(line):], "\n")
	switch {
	case len(end) > 2:
		return Template{}, fmt.Errorf("%q must end with one line end at most", text)
	case strings.TrimSpace(strings.ReplaceAll(line, Placeholder, "")) == "":
		return Template{}, errors.New("must have more in it than the value")
	case len(line) > maxTemplate:
		return Template{}, fmt.Errorf("has %d bytes; it may have %d", len(line), maxTemplate)
	case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }):
		return Template{}, fmt.Errorf("%q must be one line of text without control characters", text)
	case strings.Count(line, Placeholder) > 1:
		return Template{}, fmt.Errorf("%q has the value in it more than once", text)
	}
	before, after, valued := strings.Cut(line, Placeholder)
	return Template{before, after, valued, end}, nil
}

// Valued reports whether the value is in it.
func (t Template) Valued() bool { return t.valued }

// Line returns the line for a value, without a line end.
func (t Template) Line(value float64) string {
	if !t.valued {
		return t.before
	}
	return t.before + Number(value) + t.after
}

// Command returns the line for a value with its end, as it is written.
func (t Template) Command(value float64) string { return t.Line(value) + t.end }

// Number is how values are written: in decimals, six behind the point at most.
func Number(value float64) string {
	rounded := math.Round(value*1e6) / 1e6
	if rounded == 0 {
		rounded = 0 // no -0
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// Is reports whether a line that came is this one, for whatever value; blanks
// around it do not count.
func (t Template) Is(line string) bool {
	line = strings.TrimSpace(line)
	if !t.valued {
		return line == strings.TrimSpace(t.before)
	}
	rest, found := strings.CutPrefix(line, strings.TrimLeft(t.before, " \t"))
	if !found {
		return false
	}
	number, found := strings.CutSuffix(rest, strings.TrimRight(t.after, " \t"))
	if !found {
		return false
	}
	_, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return err == nil
}

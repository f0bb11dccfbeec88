package render

import (
	"strings"
	"time"

	"plumbline/reports"
)

// What pages and tables outside of this package share with the report, so that all
// of them look and read alike and none of them can forget to make foreign text inert.

// Style returns the style sheet of the report page, our own text only.
func Style() string {
	style, err := pageFiles.ReadFile("page/style.css")
	if err != nil {
		return "" // it is embedded: the build would have failed
	}
	return string(style)
}

// Clean makes s one line of visible text, without control characters and marks of
// direction. It escapes nothing: that is for the form it is written in.
func Clean(s string) string { return clean(s) }

// VisibleJSON writes characters of JSON that a terminal would obey instead of show as
// escapes, which say the same.
func VisibleJSON(text []byte) []byte { return escapeHidden(text) }

// MarkdownText makes foreign text inert in Markdown, also inside a table cell.
func MarkdownText(s string) string { return md(clean(s)) }

// XMLText escapes s for an element or attribute of XML and HTML.
func XMLText(s string) string { return escapeXML(clean(s)) }

// Number prints v with three significant digits, as the report does.
func Number(v float64) string { return number(v) }

// Quantity is Number with a unit; a count, whose unit is "1", has none.
func Quantity(v float64, unit string) string {
	if unit == "1" {
		unit = ""
	}
	return strings.TrimSpace(quantity(v, unit))
}

// Date prints an instant as the report does, in UTC.
func Date(t time.Time) string { return date(t) }

// VerdictClass is the class of the style sheet that colours a verdict: pass, open,
// fail or none.
func VerdictClass(v reports.Verdict) string { return verdictClass(v) }

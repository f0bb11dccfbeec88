// Package render turns a reports.Run into the files people and machines read:
// text, JSON, JUnit, CTRF, OpenMetrics, HdrHistogram logs, Markdown, a badge and
// one offline HTML page.
//
// Every renderer is a pure function of the run: no clock, no host name, no
// network, so that rendering again from summary.json gives the same bytes.
// Whatever comes from outside (names, payloads, log lines) is shown as text and
// is never able to become markup, a link, an escape sequence or a script.
package render

import (
	"io"

	"plumbline/reports"
)

// Names of the files written by All into the run directory.
const (
	SummaryFile  = "summary.json"
	JUnitFile    = "junit.xml"
	CTRFFile     = "ctrf.json"
	HTMLFile     = "report.html"
	MarkdownFile = "report.md"
	TextFile     = "report.txt"
	BadgeFile    = "badge.svg"
	SchemaFile   = "summary.schema.json"
	MetricsFile  = "openmetrics.txt"
)

// Renderer writes one form of a run. It reads the run and changes nothing.
type Renderer func(w io.Writer, run *reports.Run) error

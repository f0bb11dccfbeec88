package render

import (
	_ "embed"
	"html/template"
	"io"

	"plumbline/reports"
)

//go:embed report.html.tmpl
var page string

// HTML writes the report as one page that needs no network, no scripts and no
// fonts, follows the reader's light or dark setting and prints.
func HTML(w io.Writer, run *reports.Run) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return wrap("html", err)
	}
	return wrap("html", t.Execute(w, sanitize(run)))
}

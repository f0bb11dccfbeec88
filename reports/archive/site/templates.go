package site

import (
	"embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"plumbline/reports/archive"
)

//go:embed page/*.tmpl
var pageFiles embed.FS

// templates are the pages of the site beside those of the archive.
func templates() (*template.Template, error) {
	t, err := archive.Templates()
	if err != nil {
		return nil, err
	}
	t, err = t.Funcs(template.FuncMap{
		"slug": Slug, "day": func(at time.Time) string { return at.Format(time.DateOnly) },
		"lower": strings.ToLower,
	}).ParseFS(pageFiles, "page/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("site: templates: %w", err)
	}
	return t, nil
}

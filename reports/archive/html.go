package archive

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strconv"

	"plumbline/reports/render"
)

//go:embed page/*.tmpl page/archive.css
var pageFiles embed.FS

// Style returns the style sheet of pages of an archive: that of the report, and what
// trends need beside.
func Style() string {
	own, err := pageFiles.ReadFile("page/archive.css")
	if err != nil {
		return render.Style() // it is embedded: the build would have failed
	}
	return render.Style() + string(own)
}

// Hash is the source expression of a Content-Security-Policy that allows one inline
// style or script.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// HTML writes the history as one page that needs neither network nor script.
func (h *History) HTML(w io.Writer) error {
	page, err := Templates()
	if err != nil {
		return err
	}
	var buf bytes.Buffer // so that an error leaves no half page behind
	style := Style()
	err = page.ExecuteTemplate(&buf, "history", map[string]any{
		"History": h, "Style": template.CSS(style), "StyleHash": Hash(style), //nolint:gosec // our own text
	})
	if err != nil {
		return fmt.Errorf("archive: history as HTML: %w", err)
	}
	_, err = w.Write(buf.Bytes())
	return err
}

// Templates returns the templates "history", "line" and "aside" of pages, for others
// to be parsed beside them. "line" is shown a View.
func Templates() (*template.Template, error) {
	return template.New("archive").Funcs(template.FuncMap{
		"clean": render.Clean, "verdict": render.VerdictClass, "date": render.Date, "number": render.Number,
		"view":   func(i int, l Line) View { return NewView(strconv.Itoa(i), &l) },
		"chance": func() string { return render.Number(100*MaxChance) + " %" },
		"step":   func() string { return render.Number(100*MinStep) + " %" },
	}).ParseFS(pageFiles, "page/*.tmpl")
}

// View is a line arranged for a page: what changed is open, the rest one click away.
type View struct {
	ID     string // unique in the page
	Line   *Line
	Shown  []Trend
	Folded []Trend
}

// Trend is a series with its drawing.
type Trend struct {
	Index  int
	Series *Series
	Plot   template.HTML
}

// openTrends is how many figures a page shows although nothing happened to them.
const openTrends = 3

// NewView arranges a line.
func NewView(id string, l *Line) View {
	v := View{ID: id, Line: l}
	for i := range l.Series {
		s := &l.Series[i]
		if s.Flat() && len(s.Changes) == 0 {
			continue
		}
		t := Trend{Index: i, Series: s, Plot: Plot(id+"-"+strconv.Itoa(i), s)}
		if len(s.Changes) > 0 || s.Quantile > 0 && len(v.Shown) < openTrends {
			v.Shown = append(v.Shown, t)
		} else {
			v.Folded = append(v.Folded, t)
		}
	}
	return v
}

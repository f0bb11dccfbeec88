package compare

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"plumbline/harness/stats"
	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/render"
)

//go:embed page.html.tmpl
var page string

// HTML writes the comparison as one page that needs neither network nor script.
func (c *Comparison) HTML(w io.Writer) error {
	t, err := template.New("compare").Funcs(template.FuncMap{"clean": render.Clean, "dots": dots}).Parse(page)
	if err != nil {
		return fmt.Errorf("compare: page: %w", err)
	}
	var buf bytes.Buffer // so that an error leaves no half page behind
	style := archive.Style()
	err = t.Execute(&buf, map[string]any{
		"C": c, "Lines": c.byWeight(), "Order": short(c.Order), "Alpha": stats.CompareAlpha,
		"Style": template.CSS(style), "StyleHash": archive.Hash(style), //nolint:gosec // our own text
	})
	if err != nil {
		return fmt.Errorf("compare: page: %w", err)
	}
	_, err = w.Write(buf.Bytes())
	return err
}

// byWeight returns the lines with what matters most first.
func (c *Comparison) byWeight() []Line {
	weight := map[Outcome]int{Regression: 0, Undecided: 1, Improvement: 2, None: 3}
	return slices.SortedStableFunc(slices.Values(c.Lines), func(a, b Line) int { return cmp.Compare(weight[a.Outcome], weight[b.Outcome]) })
}

// dots draws the figure of every run of both sides on one axis.
func dots(row int, f *Figure) template.HTML {
	const width, height, pad = 260.0, 44.0, 8.0
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range slices.Concat(f.Old, f.New) {
		if v := float64(v); !math.IsInf(v, 0) {
			low, high = min(low, v), max(high, v)
		}
	}
	if !(high > low) {
		low, high = low-1, low+1
	}
	x := func(v reports.Float) float64 {
		if math.IsInf(float64(v), 1) {
			return width - pad/2
		}
		return pad + (float64(v)-low)/(high-low)*(width-3*pad)
	}
	var b strings.Builder
	for _, side := range []struct {
		class  string
		y      float64
		median reports.Float
		values []reports.Float
	}{{"was", 14, f.OldMedian, f.Old}, {"is", 30, f.NewMedian, f.New}} {
		for _, v := range side.values {
			fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.0f" r="3.4"><title>%s</title></circle>`, side.class, x(v), side.y, render.XMLText(render.Quantity(float64(v), f.Unit)))
		}
		if len(side.values) > 0 {
			fmt.Fprintf(&b, `<line class="level" x1="%.1f" y1="%.0f" x2="%.1f" y2="%.0f"/>`, x(side.median), side.y-7, x(side.median), side.y+7)
		}
	}
	id := "d" + strconv.Itoa(row)
	//nolint:gosec // every part is a number of ours or passes XMLText
	return template.HTML(fmt.Sprintf(`<svg class="dots" viewBox="0 0 %g %g" role="img" aria-labelledby="%s"><title id="%s">%s</title>%s</svg>`,
		width, height, id, id, render.XMLText(f.Text()), b.String()))
}

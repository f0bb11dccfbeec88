package render

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline/reports"
)

//go:embed page/*.tmpl page/style.css page/report.js
var pageFiles embed.FS

// HTML writes the report as one page that needs no network and no font of its own,
// follows the reader's light or dark setting, is readable on a telephone and prints
// with everything unfolded but further plots of a kind. Its one script filters, sorts and enlarges; without it
// everything is on the page as well. The page's own policy lets nothing else run and
// nothing be fetched.
func HTML(w io.Writer, run *reports.Run) error {
	style, err := pageFiles.ReadFile("page/style.css")
	if err != nil {
		return wrap("html", err)
	}
	script, err := pageFiles.ReadFile("page/report.js")
	if err != nil {
		return wrap("html", err)
	}
	funcs := template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
		"script": func() template.JS { return template.JS(script) },  //nolint:gosec // our own file
		"policy": func() string { return policy(style, script) },
		"num":    figure, "qty": figureWithUnit, "count": grouped, "span": span, "date": date, "bytes": bytesText,
		"quantile": quantileName, "bounds": bounds, "measured": measured, "tally": tally, "capital": capital, "verdict": verdictText, "class": verdictClass, "join": strings.Join,
		"percent":       func(v float64) string { return number(v*100) + " %" },
		"standingClass": standingClass,
		"trouble":       troubleCell,
		"devices":       func(rows []reports.Integrity) string { return devicesText(len(rows)) },
	}
	page, err := template.New("page").Funcs(funcs).ParseFS(pageFiles, "page/*.tmpl")
	if err != nil {
		return wrap("html", err)
	}
	var buf bytes.Buffer // so that an error leaves no half page behind
	if err := page.ExecuteTemplate(&buf, "report.html.tmpl", newView(sanitize(run))); err != nil {
		return wrap("html", err)
	}
	_, err = w.Write(buf.Bytes())
	return wrap("html", err)
}

// policy lets this style and this script act and nothing else (CSP level 2, section
// 4.2.5: by their digests).
func policy(style, script []byte) string {
	digest := func(text []byte) string {
		sum := sha256.Sum256(text)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + digest(style) + "; script-src " + digest(script) + "; base-uri 'none'; form-action 'none'"
}

// figure prints any of our float types.
func figure(v any) string {
	switch v := v.(type) {
	case reports.Float:
		return number(float64(v))
	case float64:
		return number(v)
	default:
		return fmt.Sprint(v)
	}
}

func figureWithUnit(v any, unit string) string {
	if f, ok := v.(reports.Float); ok {
		return quantity(float64(f), unit)
	}
	if f, ok := v.(float64); ok {
		return quantity(f, unit)
	}
	return fmt.Sprint(v, " ", unit)
}

// capital begins a title with a capital letter.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[size:]
}

// verdictClass is the style class of a verdict.
func verdictClass(v reports.Verdict) string {
	switch v {
	case reports.Pass:
		return "pass"
	case reports.ConditionalPass, reports.ConditionalFail, reports.Inconclusive:
		return "open"
	case reports.Fail, reports.Error:
		return "fail"
	default:
		return "none"
	}
}

// standingClass is the style class of what became of a claim.
func standingClass(s reports.Standing) string {
	switch s {
	case reports.Holds:
		return "pass"
	case reports.HoldsPartly:
		return "open"
	case reports.HoldsNot:
		return "fail"
	default:
		return "none"
	}
}

// troubleCell sets a count that should be 0 apart when it is not.
func troubleCell(n int64) template.HTML {
	if n == 0 {
		return `<td class="n zero">0</td>`
	}
	return template.HTML(`<td class="n bad">` + grouped(n) + `</td>`) //nolint:gosec // a number
}

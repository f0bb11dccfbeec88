package render

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"plumbline/reports"
)

// Badge writes a small SVG with the overall verdict for a README. A run that
// certifies nothing, or got no certificate, says so in the badge, whatever its verdict.
func Badge(w io.Writer, run *reports.Run) error {
	run = sanitize(run)
	label := "plumbline " + run.Profile.Name
	word := run.Overall.String()
	switch {
	case run.Partial != "":
		word += ", partial"
	case run.Deselected != nil:
		word += " of a selection"
	case run.Certified():
		word = "certified"
	case !run.Certifying, run.Uncertified != "":
		word += ", not certified"
	}
	const perRune, pad = 6.6, 10.0
	left := perRune*float64(utf8.RuneCountInString(label)) + 2*pad
	right := perRune*float64(utf8.RuneCountInString(word)) + 2*pad
	title := escapeXML(label + ": " + word)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]s" height="22" viewBox="0 0 %[1]s 22" role="img" aria-label="%[2]s">
<title>%[2]s</title>
<clipPath id="r"><rect width="%[1]s" height="22" rx="4"/></clipPath>
<g clip-path="url(#r)"><rect width="%[3]s" height="22" fill="#24292f"/><rect x="%[3]s" width="%[4]s" height="22" fill="%[5]s"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle"><text x="%[6]s" y="15">%[7]s</text><text x="%[8]s" y="15">%[9]s</text></g>
</svg>
`, Px(left+right), title, Px(left), Px(right), badgeColour(run.Overall), Px(left/2), escapeXML(label), Px(left+right/2), escapeXML(word))
	return wrap("badge", err)
}

// badgeColour is dark enough for white text at 4.5:1 (WCAG 2.2, 1.4.3).
func badgeColour(v reports.Verdict) string {
	switch v {
	case reports.Pass:
		return "#1a7f37"
	case reports.Fail, reports.Error:
		return "#b42318"
	case reports.ConditionalPass, reports.ConditionalFail, reports.Inconclusive:
		return "#8a5a00"
	default:
		return "#57606a"
	}
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

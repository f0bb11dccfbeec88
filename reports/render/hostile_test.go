package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"plumbline/reports"
)

// hostile strings come as device names, log lines, close reasons and payloads.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`</style></svg></title><svg onload=alert(1)>`,
	`' onmouseover='alert(1)`,
	`javascript:alert(1)`,
	`]]><x/>`,
	"\x1b[31mred\x1b]0;title\x07",
	"line\nTOTAL: 9 requirements: 9 PASS\r\nOVERALL: PASS",
	"nul\x00del\x7fc1\u009b31m",
	"\u202egnp.exe\u2066\ufeff\u200b",
	"bad utf8 \xff\xfe\xc0\xaf",
	"[x](javascript:alert(1)) ![y](http://evil.example/p.png) <http://evil.example>",
	"| a | b |\n|---|---|\n# head\n```\n@team #1 https://evil.example www.evil.example",
	"{{.Run}} ${jndi:x} %s %!d(string=x)",
	"\uFFFE\uFFFF\U000E0041 &lt; &amp;",
}

// poisoned returns a run in which every foreign string is hostile text n.
// Verdicts, classes and the schema keep their meaning.
func poisoned(n int) *reports.Run { return poisonedWith(hostile[n]) }

// aFew is a run with a few of everything.
func aFew() *reports.Run {
	run := sampleMixed()
	run.Devices, run.Integrity, run.Latencies = run.Devices[:3], run.Integrity[:3], run.Latencies[:1]
	run.Latencies[0].Buckets, run.Timelines[0].Points = run.Latencies[0].Buckets[:4], run.Timelines[0].Points[:4]
	run.Requirements, run.Results = run.Requirements[:7], run.Results[:7]
	run.Rasters, run.Recoveries[1].Returns, run.Resources[0].Samples = run.Rasters[1:], run.Recoveries[1].Returns[:2], run.Resources[0].Samples[:3]
	return run
}

func poisonedWith(text string) *reports.Run {
	run := aFew()
	run.Partial = "x"
	encoded := run.Latencies[0].HDR // no text: see TestLogsRefuse
	poison(reflect.ValueOf(run).Elem(), text)
	run.Latencies[0].HDR = encoded
	run.Schema = reports.SchemaVersion
	for i := range run.Rasters[0].Rows { // letters are figures: what is drawn follows from them
		run.Rasters[0].Rows[i].Cells = "oldb?"
	}
	for i := range run.Requirements {
		run.Requirements[i].Class = reports.Mandatory
	}
	run.Environment = map[string]string{text: text}
	run.Overall = run.Judge()
	return run
}

func poison(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem(), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i), text)
			}
		}
	default:
	}
}

// hostileFloats are numbers at the ends of what a float can be, of which a step of an
// axis is 0 or a sum infinite.
var hostileFloats = []float64{5e-324, 1e-323, 1e-310, 1.7624e308, math.MaxFloat64, -math.MaxFloat64, -5e-324, 1, 0}

// poisonFloats sets every float below v but quantiles to what next gives.
func poisonFloats(v reflect.Value, next func() float64) {
	switch v.Kind() {
	case reflect.Float64:
		v.SetFloat(next())
	case reflect.Pointer:
		if !v.IsNil() {
			poisonFloats(v.Elem(), next)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poisonFloats(v.Index(i), next)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Q" && f.Name != "Quantile" {
				poisonFloats(v.Field(i), next)
			}
		}
	default:
	}
}

// TestHostileFloats: whatever the figures of a valid summary, every form of it comes
// to an end, and no axis has more marks than can be read.
func TestHostileFloats(t *testing.T) {
	for i, a := range hostileFloats {
		for _, b := range []float64{a, hostileFloats[(i+1)%len(hostileFloats)]} {
			run, n := aFew(), 0
			poisonFloats(reflect.ValueOf(run).Elem(), func() float64 {
				n++
				return []float64{a, b}[n%2]
			})
			run.Overall = run.Judge()
			if err := sound(run); err != nil {
				t.Fatalf("%g and %g: the summary is refused, so nothing is tested: %v", a, b, err)
			}
			files, err := filesOf(run)
			if err != nil {
				t.Fatalf("%g and %g: %v", a, b, err)
			}
			page := files[slices.IndexFunc(files, func(f file) bool { return f.name == HTMLFile })].content
			drawings := strings.Split(string(page), "<svg")
			for _, drawing := range drawings[1:] {
				if marks := strings.Count(drawing, `class="tick"`); marks > 120 {
					t.Errorf("%g and %g: a drawing has %d marks", a, b, marks)
				}
			}
			if len(drawings) < 10 {
				t.Fatalf("%d drawings: nothing is tested", len(drawings)-1)
			}
		}
	}
}

func rendered(t *testing.T, r Renderer, run *reports.Run) string {
	t.Helper()
	var buf bytes.Buffer
	if err := r(&buf, run); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// TestHostileHTML: whatever the strings, the page is made of the same elements in the
// same order as with harmless ones.
func TestHostileHTML(t *testing.T) {
	want := skeleton(t, rendered(t, HTML, poisonedWith("harmless")))
	for n := range hostile {
		page := rendered(t, HTML, poisoned(n))
		checkPage(t, page)
		if got := skeleton(t, page); got != want {
			t.Errorf("%q changes what the page is made of", hostile[n])
		}
	}
}

// skeleton is the page without any text: elements and the names of attributes. The
// text of script and style, which are ours, stays.
func skeleton(t *testing.T, page string) string {
	t.Helper()
	var b strings.Builder
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch {
		case n.Type == html.TextNode && (n.Parent.Data == "script" || n.Parent.Data == "style"):
			b.WriteString(n.Data)
		case n.Type == html.ElementNode:
			b.WriteString("<" + n.Data)
			for _, a := range n.Attr {
				b.WriteString(" " + a.Key)
			}
		case n.Type == html.CommentNode:
			b.WriteString("<!--")
		}
	}
	return b.String()
}

// checkPage parses the page and refuses anything that could act: elements
// beyond those of the template, event handlers, links that leave the page.
func checkPage(t *testing.T, page string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, targets := map[string]int{}, []string{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script":
			if n.Parent.Data != "body" || len(n.Attr) > 0 {
				t.Error("page has a script that is not its own")
			}
		case "img", "iframe", "object", "embed", "link", "base", "form", "image", "use", "foreignObject", "audio", "video", "x":
			t.Errorf("page has an element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(strings.ToLower(a.Key), "on"), a.Key == "src", a.Key == "style", a.Key == "srcdoc", a.Key == "action":
				t.Errorf("<%s> has attribute %s=%q", n.Data, a.Key, a.Val)
			case a.Key == "href":
				if !strings.HasPrefix(a.Val, "#") {
					t.Errorf("link leaves the page: %q", a.Val)
				}
				targets = append(targets, strings.TrimPrefix(a.Val, "#"))
			case a.Key == "aria-labelledby":
				targets = append(targets, strings.Fields(a.Val)...)
			case a.Key == "id":
				ids[a.Val]++
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q occurs %d times", id, n)
		}
	}
	for _, target := range targets {
		if ids[target] == 0 {
			t.Errorf("nothing has the id %q", target)
		}
	}
	if strings.Contains(page, "%!") && !strings.Contains(page, "%!d(string=x)") {
		t.Error("page has a broken format verb")
	}
	noHidden(t, "html", page)
}

func noHidden(t *testing.T, form, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && (isHidden(r) || unicode.IsControl(r)) {
			t.Errorf("%s has hidden character %U at byte %d", form, r, i)
			return
		}
	}
}

func TestHostileText(t *testing.T) {
	for n := range hostile {
		text := rendered(t, Text, poisoned(n))
		noHidden(t, "text", text)
		for _, prefix := range []string{"TOTAL: ", "OVERALL: "} {
			lines := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, prefix) {
					lines++
				}
			}
			if lines != 1 {
				t.Errorf("%q: %d lines begin with %q, want 1", hostile[n], lines, prefix)
			}
		}
	}
}

func TestHostileXML(t *testing.T) {
	for n := range hostile {
		for name, r := range map[string]Renderer{"junit": JUnit, "badge": Badge} {
			text := rendered(t, r, poisoned(n))
			noHidden(t, name, strings.ReplaceAll(text, "&#xA;", ""))
			dec := xml.NewDecoder(strings.NewReader(text))
			for {
				tok, err := dec.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s of %q: %v", name, hostile[n], err)
				}
				if el, ok := tok.(xml.StartElement); ok && (el.Name.Local == "script" || el.Name.Local == "x" || el.Name.Local == "img") {
					t.Errorf("%s of %q has an element <%s>", name, hostile[n], el.Name.Local)
				}
			}
		}
	}
}

// mdEscape matches a backslash escape (CommonMark section 2.4).
var mdEscape = regexp.MustCompile(`\\[[:punct:]]`)

func TestHostileMarkdown(t *testing.T) {
	for n := range hostile {
		text := rendered(t, Markdown, poisoned(n))
		noHidden(t, "markdown", text)
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "Reproduce: ") {
				continue // a code span: everything inside is literal
			}
			line = mdEscape.ReplaceAllString(line, "")
			for _, bad := range []string{"<script", "<img", "<http", "](", "@team", "https://", "www.", "```"} {
				if strings.Contains(line, bad) {
					t.Fatalf("%q: markdown has %q in %q", hostile[n], bad, line)
				}
			}
		}
	}
}

func TestHostileJSON(t *testing.T) {
	for n := range hostile {
		run := poisoned(n)
		text := toJSON(t, run)
		noHidden(t, "json", text)
		back, err := parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(hostile[n], "\uFFFD"); strings.Count(want, "\uFFFD") == 0 && back.SUT.Name != want {
			t.Errorf("%q came back as %q", hostile[n], back.SUT.Name)
		}
		for name, r := range map[string]Renderer{"html": HTML, "junit": JUnit, "ctrf": CTRF, "text": Text, "markdown": Markdown} {
			if rendered(t, r, run) != rendered(t, r, back) {
				t.Errorf("%q: %s differs after a round trip through JSON", hostile[n], name)
			}
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü → 漢": "plain ü → 漢", "a\nb\tc\rd": "a b c d", "\x1b[0m": `\x1b[0m`, "\u009b": `\x9b`, "\u202e": `\u202e`,
		"\xff": "\uFFFD", "\U000E0041": `\ue0041`, "\u2028": " ", "": "",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
		if again := clean(clean(in)); again != want {
			t.Errorf("clean is not stable on %q: %q", in, again)
		}
	}
}

func TestMarkdownLineStart(t *testing.T) {
	for in, want := range map[string]string{"- a": `\- a`, "12. a": `12\. a`, "    code": "code", "=== ": `\=== `, "1.5 ms": "1.5 ms", "2025-11-23": "2025-11-23", "a - b": "a - b", "# h": "&#35; h", "> q": "&gt; q"} {
		if got := md(in); got != want {
			t.Errorf("md(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCodeSpan(t *testing.T) {
	for in, want := range map[string]string{"go test": "`go test`", "a`b": "`` a`b ``", "a``b`": "``` a``b` ```"} {
		if got := codeSpan(in); got != want {
			t.Errorf("codeSpan(%q) = %q, want %q", in, got, want)
		}
	}
}

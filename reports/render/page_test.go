package render

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"plumbline/reports"
)

// elements returns those of that name, in order.
func elements(t *testing.T, page, name string) (found []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			found = append(found, n)
		}
	}
	return found
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestPolicy: the page lets run and style what it carries, byte for byte, and fetches
// nothing.
func TestPolicy(t *testing.T) {
	page := rendered(t, HTML, sampleMixed())
	policy := ""
	for _, m := range elements(t, page, "meta") {
		if attribute(m, "http-equiv") == "Content-Security-Policy" {
			policy = attribute(m, "content")
		}
	}
	for _, c := range []struct{ element, directive string }{{"script", "script-src"}, {"style", "style-src"}} {
		found := elements(t, page, c.element)
		if len(found) != 1 || found[0].FirstChild == nil {
			t.Fatalf("%d elements <%s>", len(found), c.element)
		}
		sum := sha256.Sum256([]byte(found[0].FirstChild.Data))
		if want := c.directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("policy %q does not say %s", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	script := elements(t, page, "script")[0].FirstChild.Data
	for _, word := range []string{"eval", "innerHTML", "Function(", "document.write", "fetch", "insertAdjacent", "http://", "https://"} {
		if strings.Contains(strings.ReplaceAll(script, "http://www.w3.org/2000/svg", ""), word) {
			t.Errorf("the script says %s", word)
		}
	}
	if len(script) > 10<<10 {
		t.Errorf("the script has %d bytes", len(script))
	}
}

// TestHeadings: one h1, and no level is jumped over.
func TestHeadings(t *testing.T) {
	for name, build := range samples() {
		last, tops := 0, 0
		root, err := html.Parse(strings.NewReader(rendered(t, HTML, build())))
		if err != nil {
			t.Fatal(err)
		}
		for n := range root.Descendants() {
			if n.Type != html.ElementNode || len(n.Data) != 2 || n.Data[0] != 'h' || n.Data[1] < '1' || n.Data[1] > '6' {
				continue
			}
			level := int(n.Data[1] - '0')
			if level > last+1 {
				t.Errorf("%s: <%s> after <h%d>", name, n.Data, last)
			}
			if last = level; level == 1 {
				tops++
			}
		}
		if tops != 1 {
			t.Errorf("%s: %d <h1>", name, tops)
		}
	}
}

// TestMatrixOfRequirements: every requirement has a row that the filters know, and
// each filter offers what occurs with its number.
func TestMatrixOfRequirements(t *testing.T) {
	run := sampleMixed()
	page := rendered(t, HTML, run)
	rows := map[string]map[string]int{"verdict": {}, "class": {}, "family": {}}
	n := 0
	for _, tr := range elements(t, page, "tr") {
		if attribute(tr, "data-for") == "" {
			continue
		}
		n++
		for name := range rows {
			rows[name][attribute(tr, "data-"+name)]++
		}
	}
	if n != len(run.Requirements) {
		t.Errorf("%d rows for %d requirements", n, len(run.Requirements))
	}
	for _, c := range choicesOf(newView(run).Requirements) {
		if len(c.Options) != len(rows[c.Name]) {
			t.Errorf("filter %s offers %d, there are %d", c.Name, len(c.Options), len(rows[c.Name]))
		}
		for _, o := range c.Options {
			if rows[c.Name][o.Value] != o.Count {
				t.Errorf("filter %s says %s %d times, there are %d", c.Name, o.Value, o.Count, rows[c.Name][o.Value])
			}
		}
	}
}

// TestHugeStrings: a megabyte where a name is due makes no page of many, and no form
// but JSON holds it all.
func TestHugeStrings(t *testing.T) {
	huge := strings.Repeat("<b>\u202e\x1b[31m| ` @", 1<<20/16)
	plain, run := sampleMixed(), sampleMixed()
	run.SUT.Name, run.Devices[0].ID, run.Integrity[0].Device, run.Rasters[1].Rows[0].Device, run.Recoveries[0].Returns[0].Viewer = huge, huge, huge, huge, huge
	run.Results[0].Headline, run.Results[0].Sentence, run.Timelines[0].Faults[0].Name, run.Hops[0].Name = huge, huge, huge, huge
	run.Results[1].Findings = append(run.Results[1].Findings, reports.Finding{Kind: huge, Subject: huge, Detail: huge, Context: []string{huge}})
	for name, r := range map[string]Renderer{"html": HTML, "markdown": Markdown, "text": Text, "junit": JUnit, "ctrf": CTRF, "badge": Badge} {
		text := rendered(t, r, run)
		if more := len(text) - len(rendered(t, r, plain)); more > 600<<10 {
			t.Errorf("%s grew by %d bytes", name, more)
		}
		noHidden(t, name, text)
	}
	checkPage(t, rendered(t, HTML, run))
	if got := clean(huge); len(got) > maxText || !strings.HasSuffix(got, SummaryFile+" has them)") || clean(got) != got {
		t.Errorf("%d bytes of a megabyte: …%s", len(got), got[max(len(got)-80, 0):])
	}
	if !strings.Contains(toJSON(t, run), strings.Repeat(`\u001b[31m| `+"`"+` @\u003cb\u003e\u202e`, 1000)) {
		t.Error("JSON does not hold it all")
	}
}

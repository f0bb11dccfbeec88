package browsertest

import (
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axeScript returns axe-core, which .ci/deps installs; without it the test is skipped.
func axeScript(t *testing.T) string {
	t.Helper()
	_, here, _, _ := goruntime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", "..", ".ci", "node", "node_modules", "axe-core", "axe.min.js")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("%v: axe-core is needed: make deps-test installs it", err)
	}
	return string(text)
}

// axeFinding is one element against one rule.
type axeFinding struct {
	Impact, ID, Help, Target, Why string
}

// axeRun opens what is folded and asks about all rules, or about contrast alone.
const axeRun = `(async options => {
  for (const d of document.querySelectorAll('details')) d.open = true;
  const r = await axe.run(document, options), found = [];
  for (const v of r.violations) for (const n of v.nodes) found.push({impact: v.impact, id: v.id, help: v.help, target: n.target.join(' '), why: n.failureSummary});
  return JSON.stringify({found, passed: r.passes.map(p => p.id)});
})(%s)`

// Accessible asks axe-core about a page in the light scheme, and about its contrast in
// the dark one. What it calls serious or critical fails the test, and so does a look at
// fewer rules than least; the rest is logged.
func (b *Browser) Accessible(t *testing.T, address string, size Size, least int) {
	t.Helper()
	axe := axeScript(t)
	tab := b.blank(t, size)
	for _, c := range []struct{ scheme, options string }{
		{"light", `{resultTypes: ['violations']}`}, {"dark", `{resultTypes: ['violations'], runOnly: ['color-contrast']}`},
	} {
		scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}}}
		Call(tab, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // the policy would not let axe in
		Call(tab, emulation.SetEmulatedMedia, scheme)
		tab.Do(chromedp.Navigate(address))
		tab.Shot(strings.ReplaceAll(t.Name()+" "+c.scheme, "/", " "))
		tab.Do(chromedp.Evaluate[chromedp.Void](axe))
		answer := decode[struct {
			Found  []axeFinding
			Passed []string
		}](t, Eval[string](tab, fmt.Sprintf(axeRun, c.options)))
		for _, f := range answer.Found {
			text := fmt.Sprintf("%s, %s (%s): %s at %s: %s", c.scheme, f.ID, f.Impact, f.Help, f.Target, f.Why)
			if f.Impact == "serious" || f.Impact == "critical" {
				t.Error(text)
			} else {
				t.Log(text)
			}
		}
		if len(answer.Passed) < map[string]int{"light": least, "dark": 1}[c.scheme] {
			t.Errorf("%s: axe-core passed %v only; it cannot have looked at the page", c.scheme, answer.Passed)
		}
	}
	for _, fault := range tab.Overflow() {
		t.Errorf("%d px: %s", size.Width, fault)
	}
}

// blank is an empty tab.
func (b *Browser) blank(t *testing.T, size Size) *Page {
	t.Helper()
	return b.Open(t, "about:blank", size)
}

package site

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"plumbline/reports/archive"
	"plumbline/reports/internal/browsertest"
)

// TestTheSiteInABrowser: axe-core finds no serious fault in the pages of a site and in
// the page of history, wide and narrow, and the search finds what it is asked for and leads there.
func TestTheSiteInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	built := build(t, full(t))
	history, err := built.store.History(archive.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	var alone bytes.Buffer
	if err := errors.Join(history.HTML(&alone), built.Write(dir), os.WriteFile(filepath.Join(dir, "history.html"), alone.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	browser := browsertest.Start(t)
	for _, page := range []string{"index.html", "systems/bridged.ci/index.html", "profiles/ci.html", "history.html"} {
		for size, window := range map[string]browsertest.Size{"desktop": browsertest.Desktop, "phone": browsertest.Phone} {
			t.Run(page+" "+size, func(t *testing.T) {
				browser.Accessible(t, browsertest.FileURL(filepath.Join(dir, filepath.FromSlash(page))), window, 20)
			})
		}
	}
	t.Run("search", func(t *testing.T) { searchFor(t, browser, dir) })
}

func searchFor(t *testing.T, browser *browsertest.Browser, dir string) {
	t.Helper()
	p := browser.Open(t, browsertest.FileURL(filepath.Join(dir, FrontPage)), browsertest.Desktop)
	const found = `[...document.querySelectorAll('#found li')].map(l => l.textContent)`
	said := func() string { return browsertest.Eval[string](p, `document.getElementById('count').textContent`) }
	p.Do(chromedp.SendKeys(chromedp.CSS("#query"), "run0021"))
	if hits := browsertest.Eval[[]string](p, found); len(hits) != 1 || !strings.Contains(hits[0], "run0021") || said() != "1 found" {
		t.Errorf("one run: %q, it says %q", hits, said())
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('query').value = ''`), chromedp.SendKeys(chromedp.CSS("#query"), "LAT-02 node"))
	for _, hit := range browsertest.Eval[[]string](p, found) {
		if !strings.Contains(hit, "LAT-02") || !strings.Contains(hit, "node") {
			t.Errorf("found is %q", hit)
		}
	}
	if said() != "1 found" {
		t.Errorf("a figure of a system: it says %q", said())
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('query').value = ''`), chromedp.SendKeys(chromedp.CSS("#query"), "<script>alert"))
	if hits := browsertest.Eval[[]string](p, found); len(hits) == 0 || browsertest.Eval[int](p, `document.querySelectorAll('#found script').length`) != 0 {
		t.Errorf("a hostile name: %q", hits)
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('query').value = ''`), chromedp.SendKeys(chromedp.CSS("#query"), "nothing of this name"))
	if said() != "0 found" {
		t.Errorf("nothing: it says %q", said())
	}
	p.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('query').value = ''`), chromedp.SendKeys(chromedp.CSS("#query"), "run0021"), chromedp.Click(chromedp.CSS("#found a")))
	p.Until(`location.pathname.endsWith('/runs/run0021/index.html') && document.readyState === 'complete'`)
	if title := browsertest.Eval[string](p, `document.title`); !strings.Contains(title, "bridged") {
		t.Errorf("it leads to a page called %q", title)
	}
	if _, err := os.Stat(filepath.Join(dir, "runs", "run0021", FrontPage)); err != nil {
		t.Error(err)
	}
}

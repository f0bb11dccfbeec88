package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"plumbline/reports"
	"plumbline/reports/internal/browsertest"
)

// shownTable is what a reader sees of the table of requirements and the articles below it.
type shownTable struct {
	Shown, Hidden []string // text of the rows
	Articles      int      // that are shown
	Status        string   // what is said of it
}

// lookAtTable finds that out; the text of a hidden row is its textContent.
const lookAtTable = `(() => {
  const rows = [...document.querySelectorAll('#matrix tbody tr')], seen = r => r.checkVisibility();
  const text = r => r.innerText || r.textContent;
  return {Shown: rows.filter(seen).map(text), Hidden: rows.filter(r => !seen(r)).map(text),
    Articles: [...document.querySelectorAll('article.req')].filter(seen).length, Status: document.getElementById('shown').textContent};
})()`

// wantTable holds the table against what fits says of a row.
func wantTable(t *testing.T, p *browsertest.Page, when string, fits func(row string) bool) {
	t.Helper()
	got := browsertest.Eval[shownTable](p, lookAtTable)
	for _, row := range got.Shown {
		if !fits(row) {
			t.Errorf("%s: shown is %q", when, row)
		}
	}
	for _, row := range got.Hidden {
		if fits(row) {
			t.Errorf("%s: hidden is %q", when, row)
		}
	}
	all := len(got.Shown) + len(got.Hidden)
	want := fmt.Sprintf("%d of %d shown", len(got.Shown), all)
	if len(got.Hidden) == 0 {
		want = fmt.Sprintf("All %d shown", all)
	}
	if got.Status != want || got.Articles != len(got.Shown) || len(got.Shown) == 0 {
		t.Errorf("%s: it says %q, want %q; %d articles for %d rows", when, got.Status, want, got.Articles, len(got.Shown))
	}
}

// TestThePageInABrowser types, chooses, clicks and points as a reader does.
func TestThePageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	run := sampleMixed()
	page := rendered(t, HTML, run)
	for name, look := range map[string]func(*testing.T, *browsertest.Page, *reports.Run){
		"filter and sort": filterAndSort, "pointing at a plot": pointingAtAPlot, "colours and no scripts": coloursAndNoScripts,
	} {
		t.Run(name, func(t *testing.T) { look(t, browser.OpenText(t, page, browsertest.Desktop), run) })
	}
}

func filterAndSort(t *testing.T, p *browsertest.Page, run *reports.Run) {
	t.Helper()
	everything := func(string) bool { return true }
	wantTable(t, p, "at first", everything)

	p.Do(chromedp.SendKeys(chromedp.CSS("#f-text"), "LAT"))
	wantTable(t, p, "LAT", func(row string) bool { return strings.Contains(strings.ToLower(row), "lat") })
	p.Do(chromedp.SendKeys(chromedp.CSS("#f-text"), " 03"))
	wantTable(t, p, "LAT 03", func(row string) bool {
		return strings.Contains(strings.ToLower(row), "lat") && strings.Contains(row, "03")
	})
	hidden := anchorOf(run, "DEL-01")
	p.Do(chromedp.Evaluate[chromedp.Void]("location.hash = '" + hidden + "'"))
	p.Until("document.getElementById('shown').textContent.startsWith('All')")
	p.Until("(() => { const b = document.getElementById('" + hidden + "').getBoundingClientRect(); return b.top < innerHeight && b.bottom > 0 })()")

	p.Do(chromedp.SendKeys(chromedp.CSS(`#filter select[name="verdict"]`), "FAIL"))
	wantTable(t, p, "verdict FAIL", func(row string) bool { return strings.Contains(row, "FAIL") && !strings.Contains(row, "CONDITIONAL") })
	p.Do(chromedp.SendKeys(chromedp.CSS("#f-text"), kb.Escape))
	wantTable(t, p, "after Escape", everything)
	p.Do(chromedp.SendKeys(chromedp.CSS("#f-text"), "DEL"), chromedp.Click(chromedp.CSS("#f-reset")))
	wantTable(t, p, "after Reset", everything)

	const ranks = `[...document.querySelectorAll('#matrix tbody tr')].map(r => Number(r.cells[3].dataset.v))`
	for i, order := range []string{"ascending", "descending"} {
		p.Do(chromedp.Click(`//table[@id="matrix"]//th[4]/button`))
		got := browsertest.Eval[[]float64](p, ranks)
		for k := 1; k < len(got); k++ {
			if i == 0 && got[k] < got[k-1] || i == 1 && got[k] > got[k-1] {
				t.Errorf("%s: %v", order, got)
				break
			}
		}
		if said := browsertest.Eval[string](p, `document.querySelector('#matrix th:nth-child(4)').ariaSort`); said != order || len(got) != len(run.Requirements) {
			t.Errorf("sorted %q, want %q, %d rows", said, order, len(got))
		}
	}
}

// anchorOf is where the page tells of a requirement.
func anchorOf(run *reports.Run, id string) string {
	for i, r := range run.Requirements {
		if r.ID == id {
			return fmt.Sprintf("r%d", i+1)
		}
	}
	return "no " + id
}

// row is a plot whose figures are a table, where the middle row of that lies in the
// window, and what the row says.
type row struct {
	X, Y  float64
	Cells []string
}

const lookAtPlot = `(() => {
  const chart = [...document.querySelectorAll('#latency .chart')].find(c => c.querySelectorAll('tr[data-x]').length > 5);
  const svg = chart.querySelector('svg.plot'), rows = [...chart.querySelectorAll('tr[data-x]')], row = rows[rows.length >> 1];
  svg.scrollIntoView({block: 'center', behavior: 'instant'});
  chart.id = 'looked-at';
  const box = svg.getBoundingClientRect();
  return {X: box.left + Number(row.dataset.x) / svg.viewBox.baseVal.width * box.width, Y: box.top + box.height / 2, Cells: [...row.cells].map(c => c.textContent)};
})()`

// pointingAtAPlot: what is pointed at is read out, by mouse and by keys, and a plot can
// be enlarged.
func pointingAtAPlot(t *testing.T, p *browsertest.Page, _ *reports.Run) {
	t.Helper()
	const readout = `document.querySelector('#looked-at .readout').textContent`
	at := browsertest.Eval[row](p, lookAtPlot)
	p.Do(chromedp.MouseEvent(chromedp.MouseMoved, at.X, at.Y))
	p.Until(readout + " !== ''")
	said := browsertest.Eval[string](p, readout)
	for _, cell := range at.Cells {
		if cell != "" && !strings.Contains(said, cell) {
			t.Errorf("pointed at %q it says %q", at.Cells, said)
		}
	}
	if !browsertest.Eval[bool](p, `document.querySelector('#looked-at .cursor').getAttribute('visibility') === 'visible'`) {
		t.Error("nothing marks the place that is pointed at")
	}
	p.Do(chromedp.MouseEvent(chromedp.MouseMoved, 5, 5))
	p.Until(readout + " === ''")

	p.Do(chromedp.Focus(chromedp.CSS("#looked-at .plotbox")), chromedp.KeyEvent(kb.ArrowRight))
	first := browsertest.Eval[string](p, readout)
	p.Do(chromedp.KeyEvent(kb.ArrowRight))
	if second := browsertest.Eval[string](p, readout); first == "" || second == first {
		t.Errorf("by keys it says %q, then %q", first, second)
	}
	if live := browsertest.Eval[string](p, `document.querySelector('#looked-at .readout').getAttribute('aria-live')`); live != "polite" {
		t.Errorf("by keys it is read out %q", live)
	}
	const widths = `(() => { const b = document.querySelector('#looked-at .plotbox'); return [b.scrollWidth, b.clientWidth] })()`
	p.Do(chromedp.Click(chromedp.CSS("#looked-at .tools button:last-child")))
	if w := browsertest.Eval[[]float64](p, widths); w[0] < 1.4*w[1] {
		t.Errorf("enlarged it is %.0f wide in a box of %.0f", w[0], w[1])
	}
}

// coloursAndNoScripts: the reader chooses the colours, and without scripts everything
// is there, too.
func coloursAndNoScripts(t *testing.T, p *browsertest.Page, run *reports.Run) {
	t.Helper()
	const paper = `getComputedStyle(document.body).backgroundColor`
	light := browsertest.Eval[string](p, paper)
	p.Do(chromedp.Click(chromedp.CSS("#s-dark"), chromedp.NodeVisible))
	if dark := browsertest.Eval[string](p, paper); dark == light {
		t.Errorf("dark is %s as light", dark)
	}
	browsertest.Call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.Do(chromedp.Reload())
	// Scripts of the page do not run; the browser itself is still asked.
	rows := browsertest.Eval[int](p, `[...document.querySelectorAll('#matrix tbody tr')].filter(r => r.checkVisibility()).length`)
	tools := browsertest.Eval[int](p, `document.querySelectorAll('#matrix button, .tools, .readout').length`)
	if rows != len(run.Requirements) || tools != 0 || browsertest.Eval[bool](p, `document.getElementById('filter').checkVisibility()`) {
		t.Errorf("without scripts: %d rows, %d tools of no use", rows, tools)
	}
}

// Package browsertest opens pages in a real Chromium for tests: it clicks, types and
// points as a reader does, asks axe-core, and fails the test when a page throws or
// breaks its own policy.
//
// A page of a file is opened from the file: it has no network.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"plumbline/reports/pdf"
)

// Patience is how long a page may take in all, on however busy a machine.
const Patience = 2 * time.Minute

// Browser is a Chromium that ends with its test.
type Browser struct {
	t   *testing.T
	ctx context.Context
}

// Start starts a Chromium. Where there is none the test fails; where it may not run
// with its sandbox the test is skipped.
func Start(t *testing.T) *Browser {
	t.Helper()
	program, err := pdf.Find("")
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU,
		chromedp.Flag("proxy-server", "http://127.0.0.1:9"), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("force-prefers-reduced-motion", true)) // a click finds what it is aimed at where it was a moment ago: nothing scrolls smoothly
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("the browser ended with %v", err)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		if strings.Contains(err.Error(), "sandbox") || strings.Contains(err.Error(), "namespace") {
			t.Skipf("%v: let this user create user namespaces, or run the test as root", err)
		}
		t.Fatalf("%s: %v", program, err)
	}
	return &Browser{t: t, ctx: ctx}
}

// Size is a window in CSS pixels. A phone has its meta element obeyed.
type Size struct {
	Width, Height int64
	Phone         bool
}

// Sizes that pages are looked at in.
var (
	Desktop = Size{Width: 1280, Height: 900}
	Phone   = Size{Width: 390, Height: 844, Phone: true}
)

// Page is a page in a tab of its own.
type Page struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string // what the page did wrong
}

// Open opens an address and waits until it is loaded. The tab is closed when the test
// ends, which then fails if the page threw or broke its policy.
func (b *Browser) Open(t *testing.T, address string, size Size) *Page {
	t.Helper()
	p := &Page{t: t}
	tab, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewWindow(false), chromedp.WithListener(p.hear))
	ctx, cancel := context.WithTimeout(tab, Patience)
	p.ctx = ctx
	t.Cleanup(func() {
		cancel()
		closeTab()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, fault := range p.faults {
			t.Errorf("%s: %s", address, fault)
		}
	})
	p.Do(viewport(size), chromedp.Navigate(address))
	return p
}

func viewport(size Size) chromedp.Action[chromedp.Void] {
	if size.Phone {
		return chromedp.EmulateViewport(size.Width, size.Height, chromedp.EmulateMobile)
	}
	return chromedp.EmulateViewport(size.Width, size.Height)
}

// OpenText opens a page that is at hand as text.
func (b *Browser) OpenText(t *testing.T, page string, size Size) *Page {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return b.Open(t, FileURL(file), size)
}

// FileURL is the address of a file.
func FileURL(path string) string { return "file://" + filepath.ToSlash(path) }

// hear notes what a page does wrong: scripts that throw, and what its policy or the
// browser refused.
func (p *Page) hear(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = fmt.Sprintf("it threw: %+v", e.ExceptionDetails)
		if e.ExceptionDetails.Exception != nil {
			fault = "it threw: " + e.ExceptionDetails.Exception.Description
		}
	case *cdplog.EventEntryAdded:
		if strings.HasSuffix(e.Entry.URL, "/favicon.ico") {
			return // no page of ours has an icon; the browser asks all the same
		}
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Source == cdplog.EntrySourceSecurity {
			fault = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
	if fault != "" {
		p.mu.Lock()
		p.faults = append(p.faults, fault)
		p.mu.Unlock()
	}
}

// Do does things one after the other; one that fails ends the test.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Call sends a command of the protocol; one that fails ends the test.
func Call[P, R any](p *Page, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.t.Fatal(err)
	}
}

// Eval evaluates an expression of JavaScript, waits when it is a promise, and returns
// what it comes to.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// Until waits until an expression of JavaScript is true. The browser is asked again and
// again: what would wait within the page is forbidden by the policies of ours.
func (p *Page) Until(expression string) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression)) // fails while the page goes to another
		if err == nil && is {
			return
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("waiting for %s: %v, %v", expression, context.Cause(p.ctx), err)
		case <-tick.C:
		}
	}
}

// Overflow names elements that stick out to the right of the window where they cannot
// be scrolled into view on their own: on a phone the whole page would move sideways.
func (p *Page) Overflow() []string {
	p.t.Helper()
	return Eval[[]string](p, `(() => {
  const width = document.documentElement.clientWidth, out = [];
  if (document.documentElement.scrollWidth <= width) return out;
  const within = e => { // a box that scrolls or cuts off what is in it
    for (let a = getComputedStyle(e).position === 'absolute' ? e.offsetParent : e.parentElement; a && a !== document.body; a = a.parentElement)
      if (getComputedStyle(a).overflowX !== 'visible') return true;
    return false;
  };
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect();
    if (box.right > width + 1 && box.width > 0 && !within(e)) out.push(e.tagName + '.' + (e.className.baseVal ?? e.className) + ' ends at ' + Math.round(box.right) + ' of ' + width);
  }
  return out.slice(0, 5).concat(['the page is ' + document.documentElement.scrollWidth + ' wide']);
})()`)
}

// Shot saves a picture of the whole page into the folder that the environment
// variable PLUMBLINE_SHOTS names, for people to look at; without it nothing.
func (p *Page) Shot(name string) {
	p.t.Helper()
	dir := os.Getenv("PLUMBLINE_SHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err := errors.Join(err, os.MkdirAll(dir, 0o750), os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600)); err != nil { //nolint:gosec // G703: the folder is named by whoever runs the tests
		p.t.Fatal(err)
	}
}

// decode reads JSON that a page left.
func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return value
}

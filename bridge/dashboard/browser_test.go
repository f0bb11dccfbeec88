package dashboard_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"plumbline/bridge/dashboard"
	"plumbline/bridge/internal/browsertest"
	"plumbline/bridge/internal/eventually"
)

// chromium is the one browser of the package's tests. It believes the package's development certificate.
var chromium *browsertest.Browser //nolint:gochecknoglobals // set by TestMain

// browser returns the context of a fresh tab with cookies of its own, in the shared browser. It is closed when the test ends.
func browser(tb testing.TB) context.Context {
	tb.Helper()
	return chromium.Tab(tb)
}

// needPage skips a test where no page is built into this program.
func needPage(tb testing.TB) {
	tb.Helper()
	if !dashboard.New(dashboard.Embedded()).Built() {
		tb.Skip("bridge/dashboard/dist is empty: make dashboard fills it")
	}
}

// open navigates the tab and waits until the page is loaded.
func open(tab context.Context, tb testing.TB, url string) {
	tb.Helper()
	limited, cancel := context.WithTimeout(tab, eventually.Patience)
	defer cancel()
	if err := chromedp.Do(limited, chromedp.Navigate(url)); err != nil {
		tb.Fatalf("open %s: %v", url, err)
	}
}

// eval evaluates an expression in the tab, whose promise it waits for, and returns its value as T. The page's policy holds in it.
func eval[T any](tab context.Context, tb testing.TB, expression string) T {
	tb.Helper()
	limited, cancel := context.WithTimeout(tab, eventually.Patience)
	defer cancel()
	got, err := chromedp.Run(limited, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, func(p *runtime.EvaluateParams) {
		p.AllowUnsafeEvalBlockedByCSP = new(bool)
	}))
	if err != nil {
		tb.Fatalf("%.200s: %v", expression, err)
	}
	return got
}

// waitFor waits until an expression is true in the tab; what says what it is. (chromedp.Poll would have the page make a function of text, which its
// policy forbids.)
func waitFor(tab context.Context, tb testing.TB, what, expression string) {
	tb.Helper()
	deadline := time.After(eventually.Patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !eval[bool](tab, tb, "Boolean("+expression+")") {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited %s for %s; the page says: %.2000s", eventually.Patience, what, eval[string](tab, tb, "document.body.innerText"))
		}
	}
}

// signIn opens the page of s as who has the token: by POST /session from the page itself, as its form does it. query is that of the URL,
// with its question mark, its fragment, or "".
func signIn(tab context.Context, tb testing.TB, s *server, token, query string) {
	tb.Helper()
	open(tab, tb, s.URL+"/")
	body := strconv.Quote(fmt.Sprintf(`{"token":%q}`, token))
	if status := eval[int](tab, tb, `fetch("/session", {method: "POST", headers: {"Content-Type": "application/json"}, body: `+body+`}).then(a => a.status)`); status != 200 {
		tb.Fatalf("sign in: %d", status)
	}
	open(tab, tb, "about:blank") // a mere change of the fragment would load nothing
	open(tab, tb, s.URL+"/"+query)
}

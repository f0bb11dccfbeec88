package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestWhereNoWebSocketComesThrough: behind a proxy that lets none through the page goes on by server-sent events, and where the proxy
// collects those too, by polling. Each time it says so, and why; values come, and the proof holds.
func TestWhereNoWebSocketComesThrough(t *testing.T) {
	s := bridged(t)
	through, between := throughProxy(t, s)
	s.publish("t/a", "1")
	p := through.dashboardAt(t, "?filter=t/%23", nil)
	for n, way := range []struct{ name, why string }{
		{"Live by server-sent events", "the WebSocket could not be opened, though the bridge answers over HTTP: something between, such as a proxy, lets no WebSocket through"},
		{"Live by polling", "no event came: something between may hold the stream back"},
	} {
		between.collects.Store(n > 0)
		p.goTo("?filter=t/%23")
		p.waitFor(way.name, fmt.Sprintf(`document.querySelector(".state .word")?.textContent === %q`, way.name))
		p.waitFor("why", fmt.Sprintf(`document.querySelector(".state").title.includes(%q)`, way.why))
		s.publish("t/a", fmt.Sprint(n+2))
		p.waitFor("the value that came meanwhile", fmt.Sprintf("%s === %q", shownOf("t/a"), fmt.Sprint(n+2)))
		p.waitFor("the proof", followed+" >= 1")
	}
}

// hoursWrong has every document of a tab believe that it is so many hours later: its clock, and what its monotonic one counts from.
func hoursWrong(p *page, hours int) {
	p.tb.Helper()
	script := fmt.Sprintf(`(() => {
	const wrong = %d * 3600e3, Right = Date;
	globalThis.Date = class Date extends Right {
		constructor(...a) { if (a.length === 0) super(Right.now() + wrong); else super(...a); }
		static now() { return Right.now() + wrong; }
	};
	Object.defineProperty(performance, "timeOrigin", {value: performance.timeOrigin + wrong});
})()`, hours)
	if _, err := chromedp.Call(p.tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		p.tb.Fatal(err)
	}
}

// TestViewersClockIsHoursWrong: on a machine whose clock is hours ahead or behind, what is live is called live, an age is that of the
// reading and no hours, the latency is that of the way, the head shows the bridge's time, and the page says whose clock is wrong.
func TestViewersClockIsHoursWrong(t *testing.T) {
	s := bridged(t)
	for hours, word := range map[int]string{7: "ahead", -7: "behind"} {
		p := s.newPage(t)
		hoursWrong(p, hours)
		p.goTo(packed(t, tile("value", 0, map[string]any{"filter": "t/quick", "staleAfterS": 3600}), tile("value", 4, map[string]any{"filter": "t/slow", "staleAfterS": 1})))
		p.signIn(s.Token(nil))
		p.waitFor("whose clock is wrong", fmt.Sprintf(`/this screen's clock is (7 h|6 h 59 min) %s/.test(document.querySelector(".band:not([hidden])")?.textContent)`, word))
		quality := func(n int) string {
			return fmt.Sprintf(`document.querySelectorAll(".tile-value")[%d]?.dataset.quality`, n)
		}
		p.waitFor("two tiles", quality(1)+" !== undefined")
		s.publish("t/quick", "1")
		s.publish("t/slow", "1")
		published := time.Now()
		p.waitFor("a live value", quality(0)+` === "live"`)
		p.waitFor("a stale value", quality(1)+` === "stale"`)
		p.waitFor("its age", `/ ago$/.test(document.querySelectorAll(".tile-value")[1].querySelector(".age").textContent)`)
		age := ask[string](p, `document.querySelectorAll(".tile-value")[1].querySelector(".age").textContent`)
		if strings.Contains(age, "h") || strings.Contains(age, "min") && time.Since(published) < time.Minute {
			t.Errorf("%s: %v after the reading its age is %q", word, time.Since(published), age)
		}
		s.publish("t/quick", "2") // behind the first, which may have come with the last values, and those are of no age
		p.waitFor("a latency of milliseconds", `/\d ms ±/.test(document.querySelector(".latency").textContent)`)
		// In the tab's own zone, whatever that is; its minutes are the same in nearly all.
		shown := ask[string](p, `document.querySelector(".clock").textContent`)
		if right := ask[string](p, fmt.Sprintf(`[...Array(10).keys()].map(m => new Date(%d + m * 60e3)).map(d => d.getHours() %% 12 + ":" + String(d.getMinutes()).padStart(2, "0")).join(" ")`, published.UnixMilli())); !oneOf(shown, right) {
			t.Errorf("%s: the head shows %q, and it is one of %q", word, shown, right)
		}
	}
}

// oneOf reports whether a time of day is one of those hours, of twelve, and minutes.
func oneOf(shown, right string) bool {
	var hour, minute int
	if _, err := fmt.Sscanf(shown, "%d:%d", &hour, &minute); err != nil {
		return false
	}
	for _, one := range strings.Fields(right) {
		if one == fmt.Sprintf("%d:%02d", hour%12, minute) {
			return true
		}
	}
	return false
}

// TestSignedInElsewhere: where the session has ended in all tabs of a browser, and somebody signs in in one of them, the others go on by
// themselves.
func TestSignedInElsewhere(t *testing.T) {
	s := bridged(t)
	s.publish("t/a", "1")
	p := s.dashboardAt(t, "?filter=t/%23", nil)
	tab, closeTab := chromedp.NewContext(p.tab)
	t.Cleanup(closeTab)
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	q := &page{tb: t, tab: tab, s: s}
	q.goTo("?filter=t/%23")
	for _, one := range []*page{p, q} {
		one.waitFor("a value", shownOf("t/a")+` === "1"`)
	}
	if status := ask[int](q, `fetch("/session", {method: "DELETE"}).then(a => a.status)`); status != 200 && status != 204 {
		t.Fatalf("ending the session: %d", status)
	}
	for _, one := range []*page{p, q} {
		one.says("dialog h2", "Sign in again")
		one.says(".state", "Signed out")
	}
	s.publish("t/a", "2")
	p.signIn(s.Token(nil))
	for _, one := range []*page{p, q} {
		one.waitFor("what came meanwhile", shownOf("t/a")+` === "2"`)
		one.waitFor("the page at work, and no dialog", `document.querySelector(".state .word").textContent === "Live" && document.querySelectorAll("dialog").length === 0`)
	}
}

package dashboard_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"plumbline/bridge/internal/eventually"
)

// shownOf is the value that the page of a filter shows of a topic, as text.
func shownOf(topic string) string {
	return fmt.Sprintf(`document.querySelector('th bdi[title=%q]')?.closest("tr").querySelector("td.figure .number").textContent.replace(/\D/g, "")`, topic)
}

// followed is how many readings the page of a filter has proved to have shown or left out for newer ones, -1 when it does not call itself complete.
const followed = `(m => m ? Number(m[1].replace(/\D/g, "")) + Number((m[2] ?? "0").replace(/\D/g, "")) : -1)(/^complete since .*?: ([\d,]+) readings?(?:, ([\d,]+) left out)?/.exec(document.querySelector(".proof")?.title ?? ""))`

// befallen is a dashboard that things befall, in a tab of its own, and the devices that go on meanwhile.
type befallen struct {
	*page
	line  *line
	count int // readings of plant/n so far, all of them since the page was loaded
}

// next publishes n more readings.
func (b *befallen) next(n int) {
	b.tb.Helper()
	var payloads []string
	for range n {
		b.count++
		payloads = append(payloads, strconv.Itoa(b.count))
	}
	b.s.publish("plant/n", payloads...)
}

// fresh publishes one more and returns how long it takes until the page shows it.
func (b *befallen) fresh(what string) time.Duration {
	b.tb.Helper()
	began := time.Now()
	b.next(1)
	b.waitFor("a fresh value after "+what, fmt.Sprintf("%s === %q", shownOf("plant/n"), strconv.Itoa(b.count)))
	return time.Since(began)
}

// listen has the page keep what its head says from now on: it may say so for a moment only.
func (b *befallen) listen() {
	b.tb.Helper()
	b.do(`window.said = [];
	const head = document.querySelector(".head"), note = () => {
		const band = head.querySelector(".band:not([hidden]) span")?.textContent.replace(/; next try in [^.]*| for \d+ s(?=,)/, "") ?? "";
		const text = (head.querySelector(".state .word")?.textContent ?? "") + (band === "" ? "" : " (" + band + ")");
		if (window.said.at(-1) !== text) window.said.push(text);
	};
	window.listening?.disconnect();
	window.listening = new MutationObserver(note);
	window.listening.observe(head, {attributes: true, childList: true, subtree: true, characterData: true});
	note()`)
}

// said is what it said since then; nothing of it after it was loaded anew.
func (b *befallen) said() string {
	b.tb.Helper()
	return ask[string](b.page, `(window.said ?? []).join(" → ")`)
}

// cdp gives the browser a command of the tab.
func (b *befallen) cdp(actions ...chromedp.Action[chromedp.Void]) {
	b.tb.Helper()
	limited, cancel := context.WithTimeout(b.tab, eventually.Patience)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		b.tb.Fatal(err)
	}
}

// front brings a tab to the front of its window.
func (b *befallen) front(tab context.Context) {
	b.tb.Helper()
	id := chromedp.FromContext(tab).Target.TargetID
	if _, err := chromedp.CallBrowser(tab, target.ActivateTarget, target.ActivateTargetParams{TargetID: id}); err != nil {
		b.tb.Fatal(err)
	}
}

// cover opens another tab in front of the page; what it returns shows the page again.
func (b *befallen) cover() (uncover func()) {
	b.tb.Helper()
	other, closeOther := chromedp.NewContext(b.tab, chromedp.WithNewWindow(false))
	b.tb.Cleanup(closeOther)
	if err := chromedp.Do(other); err != nil {
		b.tb.Fatal(err)
	}
	b.front(other)
	b.waitFor("the tab to be hidden", `document.visibilityState === "hidden"`)
	return func() {
		b.front(b.tab)
		closeOther()
		b.waitFor("the tab to be seen", `document.visibilityState === "visible"`)
	}
}

// offline takes the network from the tab, or gives it back: what the browser says of it, and all new requests. The line does it to what stands.
func (b *befallen) offline(is bool) {
	b.tb.Helper()
	if is {
		b.network(&network.Conditions{Offline: true, DownloadThroughput: -1, UploadThroughput: -1})
		b.line.swallow()
	} else {
		b.network(nil) // before the page hears of it
	}
	b.cdp(command(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}))
}

// network changes what the requests of the tab go over; nil gives it its own back.
func (b *befallen) network(as *network.Conditions) {
	b.tb.Helper()
	rules := []*network.Conditions{}
	if as != nil {
		rules = append(rules, as)
	}
	if _, err := chromedp.Call(b.tab, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: rules}); err != nil {
		b.tb.Fatal(err)
	}
}

// throttle makes the processor slower by a factor.
func (b *befallen) throttle(factor float64) {
	b.tb.Helper()
	b.cdp(command(emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: factor}))
}

// storm reloads the page, each time before it is through with the last; the browser refuses some while one document takes the place of another.
func (b *befallen) storm() {
	b.tb.Helper()
	limited, cancel := context.WithTimeout(b.tab, eventually.Patience)
	defer cancel()
	for n := 0; n < 20; {
		if err := chromedp.Do(limited, command(cdppage.Reload, cdppage.ReloadParams{})); err == nil {
			n++
		} else if limited.Err() != nil {
			b.tb.Fatalf("%d reloads of 20: %v", n, err)
		}
		hold(b.tb, 50*time.Millisecond)
	}
}

// lifecycle stops the page as a browser does with one that nobody looks at, or lets it go on.
func (b *befallen) lifecycle(state cdppage.SetWebLifecycleStateState) {
	b.tb.Helper()
	b.cdp(command(cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: state}))
}

// befall is one row of the table: what befalls the page while readings come, and what becomes of it.
type befall struct {
	name  string
	holds time.Duration
	begin func(*befallen)
	end   func(*befallen)
	least time.Duration // that a value takes at least to be shown then
	word  string        // that the page must say while it holds; "" where it cannot be asked, or says it in its own time
}

// slowWay is what each way of a slow network takes.
const slowWay = 200 * time.Millisecond

// befalls is what befalls a page, from harmless to worse.
func befalls() []befall {
	none := func(*befallen) {}
	freeze := func(b *befallen) { b.lifecycle(cdppage.SetWebLifecycleStateStateFrozen) }
	thaw := func(b *befallen) { b.lifecycle(cdppage.SetWebLifecycleStateStateActive); b.cover()() } // a frozen one is hidden
	slowly := func(b *befallen) {
		b.throttle(4)
		b.line.slow(slowWay)
	}
	var uncover func()
	return []befall{
		{name: "nothing", begin: none, end: none, word: "Live"},
		{name: "another tab in front of it", holds: 6 * time.Second, begin: func(b *befallen) { uncover = b.cover() }, end: func(*befallen) { uncover() }, word: "Live"},
		{name: "put to sleep by the browser", holds: 3 * time.Second, begin: freeze, end: thaw},
		{name: "the machine sleeps; its connections are dead when it wakes", holds: 3 * time.Second, begin: func(b *befallen) { freeze(b); b.line.swallow() }, end: thaw},
		{name: "no network, and then another one", holds: 3 * time.Second, word: "Offline", begin: func(b *befallen) { b.offline(true) }, end: func(b *befallen) { b.offline(false) }},
		{name: "its connection dies without a word", begin: func(b *befallen) { b.line.swallow() }, end: none},
		{name: "a processor a quarter as fast, and a network of 200 ms each way", word: "Live", begin: slowly, end: none, least: slowWay},
		{name: "faster again, and reloaded 20 times within a second", begin: func(b *befallen) { b.throttle(1); b.line.slow(0); b.line.bury() }, end: (*befallen).storm},
	}
}

// TestWhatBefallsThePage: whatever befalls a page that is watched, it says so where it can, shows a fresh value by itself afterwards, and
// proves that it has missed nothing. The log has the table of bridge/dashboard/README.md. PLUMBLINE_HEARTBEAT is the bridge's heartbeat
// (1s), on which depends after how long a connection that is dead without a word is noticed.
func TestWhatBefallsThePage(t *testing.T) {
	heartbeat := os.Getenv("PLUMBLINE_HEARTBEAT")
	if heartbeat == "" {
		heartbeat = "1s"
	}
	through, l := throughLine(t, bridged(t, "viewers.heartbeat="+heartbeat))
	b := &befallen{page: through.dashboardAt(t, "?filter="+url.QueryEscape("plant/#"), nil), line: l}
	b.waitFor("the page to follow", `document.querySelector(".proof")?.title.startsWith("complete since")`)
	var table strings.Builder
	for _, what := range befalls() {
		table.WriteString(b.undergo(what))
	}
	t.Logf("heartbeat %s\n| what befalls the page | it says | fresh value after |\n|---|---|---|\n%s", heartbeat, table.String())
}

// undergo lets one thing befall the page, and returns its row of the table.
func (b *befallen) undergo(what befall) string {
	b.tb.Helper()
	b.fresh("what came before " + what.name) // it stands well
	b.listen()
	what.begin(b)
	b.next(20)
	if what.word != "" {
		b.waitFor(fmt.Sprintf("%q: %s", what.word, what.name), fmt.Sprintf(`document.querySelector(".state .word")?.textContent === %q`, what.word))
	}
	hold(b.tb, what.holds)
	what.end(b)
	took := b.fresh(what.name)
	if took < what.least {
		b.tb.Errorf("%s: a value is shown after %v", what.name, took)
	}
	b.waitFor("the page to be live after "+what.name, `document.querySelector(".state .word").textContent === "Live"`)
	said := b.said()
	if said == "" {
		said = "–" // another document
	} else {
		b.waitFor(fmt.Sprintf("the proof of %d readings after %s", b.count, what.name), fmt.Sprintf("%s === %d", followed, b.count))
	}
	lasts := ""
	if what.holds > 0 {
		lasts = fmt.Sprintf(", %v", what.holds)
	}
	return fmt.Sprintf("| %s%s | %s | %.2f s |\n", what.name, lasts, said, took.Seconds())
}

// hold lets something last.
func hold(tb testing.TB, d time.Duration) {
	tb.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-tb.Context().Done():
		tb.Fatal("the test is over")
	}
}

package dashboard_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// watched is a page that shows the readings of plant/#.
type watched struct {
	tab context.Context
	// Expressions: the value that it shows of plant/n; that it says nothing is live; the readings that it has proved to have
	// shown or replaced by newer ones, -1 when it does not call itself complete.
	value, away, proved string
}

// TestKilledWhileABrowserWatches: each time the bridge is killed, right behind what it has acknowledged and with a page watching, the page
// shows what comes afterwards, and its proof counts every reading ever acknowledged. The kills are three, or as many as PLUMBLINE_KILLS
// says; the log has the time to a fresh value, which is what a person waits.
func TestKilledWhileABrowserWatches(t *testing.T) {
	kills := 3
	if text := os.Getenv("PLUMBLINE_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil || kills < 1 {
			t.Fatalf("PLUMBLINE_KILLS is %q: want a number from 1 on", text)
		}
	}
	t.Run("a page of one's own", func(t *testing.T) {
		site, s := exampleSite(t)
		w := watched{tab: watchExample(t, site, "vanilla", s), value: cell("plant/n"), away: `document.querySelector("#state").textContent.startsWith("not live: ")`}
		w.proved = `(m => m ? Number(m[1]) + Number(m[2]) : -1)(/^complete: (\d+) readings, (\d+) replaced/.exec(document.querySelector("#proof").textContent))`
		killWatched(t, s, w, kills)
	})
	t.Run("the dashboard", func(t *testing.T) {
		needPage(t)
		s := bridged(t)
		w := watched{tab: browser(t), away: `document.querySelector(".proof").textContent.trim() !== "Complete"`}
		w.value = `document.querySelector('th bdi[title="plant/n"]')?.closest("tr").querySelector("td.figure .number").textContent.replace(/\D/g, "")`
		w.proved = `(m => m ? Number(m[1].replace(/\D/g, "")) + Number((m[2] ?? "0").replace(/\D/g, "")) : -1)(/^complete since .*?: ([\d,]+) readings?(?:, ([\d,]+) left out)?/.exec(document.querySelector(".proof").title))`
		signIn(w.tab, t, s, s.Token(nil), "?filter="+url.QueryEscape("plant/#"))
		waitFor(w.tab, t, "the dashboard to follow", `document.querySelector(".proof")?.title.startsWith("complete since")`)
		killWatched(t, s, w, kills)
	})
}

func killWatched(t *testing.T, s *server, w watched, kills int) {
	t.Helper()
	published := 0
	next := func(n int) (last string) {
		var payloads []string
		for range n {
			published++
			payloads = append(payloads, strconv.Itoa(published))
		}
		s.publish("plant/n", payloads...)
		return payloads[n-1]
	}
	var fresh, away []time.Duration
	for kill := range kills {
		next(50)
		killed := time.Now()
		s.Kill()
		waitFor(w.tab, t, "the page to say that nothing is live", w.away)
		s.Start()
		serves := time.Now()
		last := next(1)
		waitFor(w.tab, t, fmt.Sprintf("a fresh value after kill %d", kill+1), w.value+fmt.Sprintf(" === %q", last))
		fresh, away = append(fresh, time.Since(serves)), append(away, time.Since(killed))
		waitFor(w.tab, t, fmt.Sprintf("the proof of %d readings after kill %d", published, kill+1), fmt.Sprintf("%s === %d", w.proved, published))
	}
	slices.Sort(fresh)
	slices.Sort(away)
	t.Logf("%d kills, %d readings, 0 undeclared gaps; a fresh value after the bridge served again: median %v, worst %v; after the kill: median %v, worst %v (looked at every 20 ms)",
		kills, published, fresh[kills/2].Round(time.Millisecond), fresh[kills-1].Round(time.Millisecond), away[kills/2].Round(time.Millisecond), away[kills-1].Round(time.Millisecond))
}

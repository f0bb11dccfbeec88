package dashboard_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/eclipse/paho.golang/paho"
)

// topics is how many sensors the busy page shows; each sends tenHz a second.
const (
	topics = 100
	tenHz  = 10
)

// feed publishes the next reading of each of the topics, n times over, at a pace: rounds begin so far apart, or as soon as the one before
// is out. It returns how many it sent.
func feed(tb testing.TB, c *paho.Client, from, rounds int, apart time.Duration) int {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rounds)*apart+10*time.Minute)
	defer cancel()
	pace := time.NewTicker(max(apart, time.Microsecond))
	defer pace.Stop()
	for round := range rounds {
		for i := range topics {
			payload := fmt.Sprintf(`{"value":%d.%d,"unit":"°C"}`, 20+(from+round+i)%7, i%10)
			if _, err := c.Publish(ctx, &paho.Publish{Topic: fmt.Sprintf("plant/press-%d/temperature", i), Payload: []byte(payload)}); err != nil {
				tb.Fatalf("publish: %v", err)
			}
		}
		if apart > 0 {
			<-pace.C
		}
	}
	return rounds * topics
}

// figures are what Chromium counts of a page: seconds of its main thread, bytes, nodes.
type figures map[string]float64

// figuresOf reads them, after two collections of garbage: what has a finalizer, as wrappers of elements do, goes with the second only.
func figuresOf(tab context.Context, tb testing.TB) figures {
	tb.Helper()
	for range 2 {
		if _, err := chromedp.Call(tab, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			tb.Fatal(err)
		}
	}
	got, err := chromedp.Call(tab, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		tb.Fatal(err)
	}
	all := figures{}
	for _, m := range got.Metrics {
		all[m.Name] = m.Value
	}
	return all
}

// lean turns off what the tool itself asks of the browser, which costs a busy page time, and counting on.
func lean(tab context.Context, tb testing.TB) {
	tb.Helper()
	for _, off := range []cdp.Command[cdp.Empty, cdp.Empty]{dom.Disable, css.Disable, network.Disable, log.Disable} {
		if _, err := chromedp.Call(tab, off, cdp.Empty{}); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := chromedp.Call(tab, performance.Enable, performance.EnableParams{}); err != nil {
		tb.Fatal(err)
	}
}

// views are what the busy page may show: everything under one filter, as a table of each message and a chart of all lines; or tiles laid
// out, eight charts of twelve lines and a value.
func views(tb testing.TB) map[string]string {
	tb.Helper()
	tiles := []map[string]any{{"kind": "value", "x": 0, "y": 0, "w": 12, "h": 4, "title": "Values", "filter": "plant/mark/+"}}
	for chart := range 8 {
		var series []any
		for line := range 12 {
			series = append(series, map[string]any{"filter": fmt.Sprintf("plant/press-%d/temperature", chart*12+line), "pointer": "/value"})
		}
		tiles = append(tiles, map[string]any{"kind": "chart", "x": chart % 2 * 6, "y": 4 + chart/2*4, "w": 6, "h": 4, "title": fmt.Sprint("Chart ", chart), "series": series, "windowS": 60})
	}
	return map[string]string{"filter": "?filter=plant%2F%23", "tiles": packed(tb, tiles...)}
}

// busy opens the page on all the topics.
func busy(tb testing.TB, view string) (s *server, tab context.Context, c *paho.Client) {
	tb.Helper()
	needPage(tb)
	s = bridged(tb, "history.store=off")
	tab = browser(tb)
	signIn(tab, tb, s, s.Token(nil), view)
	lean(tab, tb)
	return s, tab, s.publisher("feed")
}

// shown waits until the page shows a mark that is published last.
func shown(tab context.Context, tb testing.TB, s *server, mark string) {
	tb.Helper()
	s.publish("plant/mark/text", mark)
	waitFor(tab, tb, "the reading "+mark, fmt.Sprintf("document.body.innerText.includes(%q)", mark))
}

// TestPageMemoryIsBounded: twenty thousand readings more leave neither objects nor elements behind: one that were kept of each would be
// megabytes.
func TestPageMemoryIsBounded(t *testing.T) {
	s, tab, c := busy(t, views(t)["filter"])
	const rounds = 200
	feed(t, c, 0, rounds, 0)
	shown(tab, t, s, "first-mark")
	first := figuresOf(tab, t)
	sent := feed(t, c, rounds, rounds, 0)
	shown(tab, t, s, "second-mark")
	second := figuresOf(tab, t)
	heap, nodes := second["JSHeapUsedSize"]-first["JSHeapUsedSize"], second["Nodes"]-first["Nodes"]
	t.Logf("%d readings: heap %.0f to %.0f kB, %.0f to %.0f nodes", sent, first["JSHeapUsedSize"]/1000, second["JSHeapUsedSize"]/1000, first["Nodes"], second["Nodes"])
	if heap > 40*float64(sent) || nodes > 500 {
		t.Errorf("%d readings left %.0f bytes and %.0f nodes behind", sent, heap, nodes)
	}
}

// BenchmarkBusyPage shows what a page with 100 topics at 10 Hz takes of the main thread, for as long as PLUMBLINE_PAGE_TIME says (30s). With
// PLUMBLINE_PAGE_TIMES=10 the readings come ten times as fast, for the memory of an hour within six minutes. One round counts: -benchtime 1x.
func BenchmarkBusyPage(b *testing.B) {
	span, times := 30*time.Second, 1
	if text := os.Getenv("PLUMBLINE_PAGE_TIME"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			b.Fatalf("PLUMBLINE_PAGE_TIME: %v", err)
		}
	}
	if text := os.Getenv("PLUMBLINE_PAGE_TIMES"); text != "" {
		if _, err := fmt.Sscan(text, &times); err != nil || times < 1 {
			b.Fatalf("PLUMBLINE_PAGE_TIMES: %q: want a whole number", text)
		}
	}
	for name, view := range views(b) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				measure(b, view, span, time.Second/tenHz/time.Duration(times))
			}
		})
	}
}

// measure watches the page while readings of all topics come a time apart.
func measure(b *testing.B, view string, span, apart time.Duration) {
	b.Helper()
	s, tab, c := busy(b, view)
	feed(b, c, 0, int(5*time.Second/apart), apart) // all topics are on the page
	shown(tab, b, s, "first-mark")
	first := figuresOf(tab, b)
	began := time.Now()
	sent := feed(b, c, 0, int(span/apart), apart)
	took := time.Since(began).Seconds()
	last := figuresOf(tab, b)
	shown(tab, b, s, "last-mark") // it kept up
	share := func(name string) float64 { return 100 * (last[name] - first[name]) / took }
	b.ReportMetric(share("TaskDuration"), "%main-thread")
	b.ReportMetric(share("ScriptDuration"), "%script")
	b.ReportMetric(share("LayoutDuration")+share("RecalcStyleDuration"), "%layout")
	b.ReportMetric(last["JSHeapUsedSize"]/1e6, "MB-heap")
	b.ReportMetric((last["JSHeapUsedSize"]-first["JSHeapUsedSize"])/1e3, "kB-growth")
	b.ReportMetric(last["Nodes"]-first["Nodes"], "nodes-growth")
	b.ReportMetric(float64(sent)/took, "readings/s")
}

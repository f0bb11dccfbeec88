package dashboard_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge/internal/eventually"
)

// BenchmarkPage shows 100 topics of ten readings a second each, all in tiles and all in ten charts, in a real browser. main-% is the processor
// time of the page's main thread in hundredths of one core; drawing-% the part that the scheduler measured; MB-grown what the heap grew
// in the second half, after collection. b.N is not used: each run takes half a minute.
func BenchmarkPage(b *testing.B) {
	needPage(b)
	s := bridged(b)
	tab := probed(b, s)
	act(tab, b, chromedp.EmulateViewport(2560, 4000)) // a wall: what is off the screen would not be drawn
	stop := benchFeed(b, s, 100, 10)
	eval[bool](tab, b, `(() => {
		for (let i = 0; i < 100; i++) probe.tile("bench/" + i, {limits: {warnHigh: 80, alarmHigh: 95}, sparkS: 300});
		for (let i = 0; i < 10; i++) probe.show({title: "Bench", windowS: 300, maxSeries: 10,
			series: Array.from({length: 10}, (_, k) => ({filter: "bench/" + (i * 10 + k)}))}, 500, 200);
		return true;
	})()`)
	waitFor(tab, b, "all charts", `probe.charts.every(c => c.state.history === "joined")`)
	pause(b, 5*time.Second) // what is compiled while it runs is compiled by then
	use := func(d time.Duration) (share float64) {
		before, began := mainThread(tab, b), time.Now()
		pause(b, d)
		return (mainThread(tab, b) - before) / time.Since(began).Seconds()
	}
	first := pageHeap(tab, b)
	share := use(15 * time.Second)
	b.ReportMetric(share*100, "main-%")
	b.ReportMetric(eval[float64](tab, b, `probe.store().health.drawing.share * 100`), "drawing-%")
	b.ReportMetric(eval[float64](tab, b, `probe.store().health.perSecond`), "readings/s")
	b.ReportMetric(eval[float64](tab, b, `probe.store().health.latency.p99Us / 1000`), "ms-p99")
	b.ReportMetric((pageHeap(tab, b)-first)/1e6, "MB-grown")
	stop()
	if said := eval[string](tab, b, `probe.errors.join("; ") || (probe.store().health.complete ? "" : probe.store().health.completeness)`); said != "" {
		b.Errorf("the page: %s", said)
	}
}

// benchFeed publishes so many topics, each so often a second, until it is stopped.
func benchFeed(tb testing.TB, s *server, topics, perSecond int) (stop func()) {
	tb.Helper()
	c := s.publisher("bench")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- publishEvenly(ctx, c, topics, perSecond) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("publish: %v", err)
		}
	}
}

// publishEvenly publishes until the context ends; after a hold-up it catches up.
func publishEvenly(ctx context.Context, c *paho.Client, topics, perSecond int) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began, n := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(topics*perSecond)); n < due; n++ {
			topic := n % topics
			value := 50 + 45*math.Sin(float64(n)/1e4+float64(topic))
			if _, err := c.Publish(ctx, &paho.Publish{Topic: fmt.Sprintf("bench/%d", topic), Payload: fmt.Appendf(nil, "%.2f", value)}); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// pause lets time pass: here it is what is measured.
func pause(tb testing.TB, d time.Duration) {
	tb.Helper()
	select {
	case <-time.After(d):
	case <-tb.Context().Done():
	}
}

// mainThread is the processor time in seconds that the main thread of the page has used.
func mainThread(tab context.Context, tb testing.TB) float64 {
	tb.Helper()
	call(tab, tb, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	got := call(tab, tb, performance.GetMetrics, cdp.Empty{})
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	tb.Fatalf("metrics of the page: no TaskDuration in %v", got.Metrics)
	return 0
}

// pageHeap is the bytes that the page's scripts use, after a collection.
func pageHeap(tab context.Context, tb testing.TB) float64 {
	tb.Helper()
	call(tab, tb, heapprofiler.CollectGarbage, cdp.Empty{})
	return float64(call(tab, tb, runtime.GetHeapUsage, cdp.Empty{}).UsedSize)
}

// call runs a command of the browser's protocol in the tab.
func call[P, R any](tab context.Context, tb testing.TB, command cdp.Command[P, R], params P) R {
	tb.Helper()
	limited, cancel := context.WithTimeout(tab, eventually.Patience)
	defer cancel()
	got, err := chromedp.Call(limited, command, params)
	if err != nil {
		tb.Fatalf("%s: %v", command.Method, err)
	}
	return got
}

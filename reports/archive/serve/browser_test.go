package serve

import (
	"net/http/httptest"
	"testing"

	"plumbline/reports/archive/archivetest"
	"plumbline/reports/internal/browsertest"
)

// TestABrowserFollowsARun: the page of a run that goes on tells what happens without
// being loaded again, and axe-core finds no serious fault in it.
func TestABrowserFollowsARun(t *testing.T) {
	keep := archivetest.New(t)
	g := newGoing(t, keep, "going")
	g.event("run-began", began)
	g.event("scenario-began", `"scenario":"steady","title":"keeps latency","index":1,"total":1`)
	web := httptest.NewServer(newServer(t, keep))
	t.Cleanup(web.Close)
	browser := browsertest.Start(t)
	address := web.URL + "/live/going/"
	p := browser.Open(t, address, browsertest.Desktop)
	p.Until(`document.getElementById('state').textContent.includes('keeps latency')`)
	g.event("step-began", `"scenario":"steady","step":"count the readings"`)
	p.Until(`document.getElementById('state').textContent.includes('count the readings')`)
	g.event("figures", `"scenario":"steady","figures":{"p50_ms":1.5,"p99_ms":2,"n":9,"window_s":10,"sent":100,"acked":99,"received":198,"sent_per_s":100,"received_per_s":200,"viewers":2,"viewers_connected":1,"devices":5}`)
	p.Until(`document.getElementById('state').textContent.includes('1.5 ms')`)
	if n := browsertest.Eval[int](p, `document.querySelectorAll('#state script').length`); n != 0 {
		t.Errorf("%d scripts came in with the name of a system", n)
	}
	for size, window := range map[string]browsertest.Size{"desktop": browsertest.Desktop, "phone": browsertest.Phone} {
		t.Run(size, func(t *testing.T) { browser.Accessible(t, address, window, 15) })
	}
	g.event("scenario-finished", `"scenario":"steady","title":"keeps latency","index":1,"total":1,"verdict":"PASS","took_s":9,"results":[{"requirement":"LAT-02","verdict":"PASS","headline":"fast","attempt":1}]`)
	g.event("run-ended", `"verdict":"PASS","exit":0,"counts":{"PASS":1}`)
	p.Until(`document.getElementById('state').textContent.includes('The reports are being written')`)
	keep.Put("going", keep.Run(1, nil))
	p.Until(`location.pathname === '/runs/run0001/index.html' && document.title.includes('bridged')`)
}

package peers_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/browser"
	"plumbline/harness/sut"
)

// TestAPageOfTheHarnessStandsIn: of systems that have no page of their own one of the harness, in a real browser, is given all that their
// viewers are given, by MQTT 5, MQTT 3.1.1 and JSON.
func TestAPageOfTheHarnessStandsIn(t *testing.T) {
	if _, err := browser.Available(""); err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	for _, file := range []string{"mosquitto.yaml", "nats.yaml", "node.yaml"} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			switch file {
			case "nats.yaml":
				installed(t, "nats-server")
			case "node.yaml":
				installed(t, "node", "node/node_modules/mqtt")
				fallthrough
			default:
				installed(t, "mosquitto")
			}
			b := open(t, rigOf(t, file, func(d *sut.Descriptor) { d.Viewer.Page.Ours = true }), harness.Plan{Name: "page", Load: load})
			p, err := b.OpenPage(limited(t), harness.PagePlan{Name: "page-1"})
			must(t, err)
			must(t, b.Window(limited(t), "page", 0, time.Second))
			must(t, b.Arrived(limited(t)))
			if text, err := p.Text(limited(t), "document.querySelectorAll('tr').length + ' ' + document.getElementById('s').textContent"); err != nil || text != "10 live" {
				t.Errorf("the page shows %q, %v", text, err)
			}
			seen := p.Counters()
			whole(t, b)
			r, err := b.Recorded()
			must(t, err)
			e, err := r.Page("page-1")
			if err != nil || seen.Received < 100 || !e.Isolated {
				t.Errorf("the page saw %+v and leaves %+v, %v", seen, e, err)
			}
		})
	}
}

package bridge

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// externalOnly makes a bridge that takes messages from this broker alone.
func externalOnly(addr string) func(*Config) {
	return func(c *Config) {
		e := config.DefaultExternal("site-a")
		e.URL, e.Prefix, e.ClientID = "mqtt://"+addr, "site-a/", "bridge-under-test"
		e.ReceiveMaximum, e.ReconnectMin, e.ReconnectMax = 100, config.Duration(20*time.Millisecond), config.Duration(200*time.Millisecond)
		c.MQTT.Listen = ""
		c.External = []config.External{e}
	}
}

// tally is what a viewer got, per topic. Its own goroutine fills it.
type tally struct {
	mu                 sync.Mutex
	prefix             string
	last               map[string]int
	got, twice, missed int
	repeated           []string // "topic number", as the publisher counts
	err                error
}

// follow subscribes a viewer to everything under prefix and counts what it gets until its connection ends.
func follow(r *running, prefix string) *tally {
	r.t.Helper()
	v := r.open(nil)
	v.send(map[string]any{"type": "sub", "id": 1, "filter": prefix + "#"})
	v.want("subok")
	_ = v.ws.SetReadDeadline(time.Time{})
	y := &tally{prefix: prefix, last: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := v.next(); err == nil && y.message(m); m, err = v.next() {
		}
	}()
	r.t.Cleanup(func() { _ = v.ws.Close(); <-done })
	return y
}

func (y *tally) message(m message) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if m.Type == "gap" {
		y.err = fmt.Errorf("a gap: %+v", m)
		return false
	}
	for _, r := range m.Readings {
		n, err := strconv.Atoi(r.Payload)
		if err != nil {
			y.err = fmt.Errorf("reading %+v", r)
			return false
		}
		y.got++
		switch last := y.last[r.Topic]; {
		case n == last+1:
			y.last[r.Topic] = n
		case n <= last:
			y.twice++
			y.repeated = append(y.repeated, r.Topic[len(y.prefix):]+" "+r.Payload)
		default: // before its time: order is broken, or those between are lost
			y.missed += n - last - 1
			y.last[r.Topic] = n
		}
	}
	return true
}

// count returns how many readings the viewer has.
func (y *tally) count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.got
}

// await waits until the viewer has every topic up to its last number, and checks what it got against what was published.
func (y *tally) await(t *testing.T, counts map[string]int) (published int) {
	t.Helper()
	eventually.Must(t, "the viewer to get the last message of each topic", func() bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		for name, n := range counts {
			if y.err == nil && y.last[y.prefix+name] < n {
				return false
			}
		}
		return true
	})
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, n := range counts {
		published += n
	}
	if y.err != nil {
		t.Fatalf("viewer: %v", y.err)
	}
	if y.missed != 0 || y.got-y.twice != published {
		t.Errorf("lost or out of order: %d of %d; the viewer has %d, %d of them twice", y.missed, published, y.got, y.twice)
	}
	return published
}

// unexplained counts what came twice although the publisher sent it once.
func (y *tally) unexplained(resent map[string]bool) (n int) {
	for _, m := range y.repeated {
		if !resent[m] {
			n++
		}
	}
	return n
}

var externalTopics = []string{"press/1/temp", "press/1/force", "press/2/temp", "hall/°C", "hall/door"}

// restarts is 3, or what the environment asks for: PLUMBLINE_BROKER_RESTARTS=10 is the run for the record.
func restarts(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("PLUMBLINE_BROKER_RESTARTS"))
	if err != nil && os.Getenv("PLUMBLINE_BROKER_RESTARTS") != "" {
		t.Fatal(err)
	}
	return max(n, 3)
}

// TestN93ExternalBrokerRestarts: a Mosquitto that is restarted again and again under 500 messages a second. Its publisher sends
// again what was not acknowledged; with a producer sequence nothing comes twice, and nothing is lost in either case.
func TestN93ExternalBrokerRestarts(t *testing.T) {
	t.Parallel()
	for _, seq := range []bool{true, false} {
		t.Run(fmt.Sprintf("sequence=%v", seq), func(t *testing.T) {
			t.Parallel()
			broker := brokertest.New(t, brokertest.Lines)
			r := run(t, externalOnly(broker.Addr))
			eventually.Must(t, "the bridge to subscribe", r.b.externallyConnected)
			y := follow(r, "site-a/")
			p := brokertest.NewPublisher(t, broker.Addr, 500, seq, externalTopics...)
			eventually.Must(t, "more messages than the first identifiers, by which none is known again", func() bool { return y.count() > 200 })
			times := restarts(t)
			for i := range times {
				p.Await(400 + i*700)
				broker.Restart()
			}
			p.Await(400 + times*700)
			counts, resent := p.Finish()
			published := y.await(t, counts)
			t.Logf("restarts %d, published %d, sent again by the publisher %d; viewer got %d, lost or out of order %d, twice %d (of these sent once: %d)",
				times, published, len(resent), y.got, y.missed, y.twice, y.unexplained(resent))
			t.Logf("bridge: %s", externalMetrics(t, r))
			if seq && y.twice != 0 || y.unexplained(resent) != 0 {
				t.Errorf("twice: %d, of these sent once by the publisher: %d", y.twice, y.unexplained(resent))
			}
		})
	}
}

// externallyConnected reports whether every external broker is connected.
func (b *Bridge) externallyConnected() bool {
	all, _ := b.external.Status()
	for _, s := range all {
		if !s.Connected {
			return false
		}
	}
	return true
}

// externalMetrics returns the external brokers' metrics that are not zero.
func externalMetrics(t *testing.T, r *running) string {
	t.Helper()
	families, err := r.b.m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if !strings.HasPrefix(f.GetName(), "bridge_external_") || v == 0 {
				continue
			}
			labels := ""
			for _, l := range m.GetLabel() {
				if l.GetName() != "broker" {
					labels += l.GetName() + "=" + l.GetValue() + " "
				}
			}
			out = append(out, fmt.Sprintf("%s{%s} %g", strings.TrimPrefix(f.GetName(), "bridge_external_"), strings.TrimSpace(labels), v))
		}
	}
	return strings.Join(out, ", ")
}

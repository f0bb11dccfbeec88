//go:build unix

package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/pathtest"
	"plumbline/bridge/internal/redistest"
)

// twin is one of two bridges with one log and one external broker, which it reaches by a path of its own.
type twin struct {
	*life
	way *pathtest.Path
}

// leads reports whether it stores what the broker sends.
func (w *twin) leads() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addrs.Ops+"/metrics", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // it is stopped
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return strings.Contains(string(text), "\nbridge_redis_leading 1\n")
}

// more waits until the viewer has got n messages more.
func (w *twin) more(n int64) {
	w.t.Helper()
	to := w.got.Load() + n
	eventually.Must(w.t, "a viewer to get more", func() bool { return w.got.Load() >= to })
}

// TestTwoBridgesOneBroker: two bridged have a session each with one Mosquitto. The one that stores is stopped for longer than its
// lease, loses its connection to the broker, and is killed. Viewers at both get every message once and in order.
func TestTwoBridgesOneBroker(t *testing.T) {
	redis, broker := redistest.New(t), brokertest.New(t, brokertest.Lines)
	var both []*twin
	for _, name := range []string{"one", "two"} {
		way, addr := pathtest.New(t, broker.Addr)
		l := &life{child: &child{t: t, data: filepath.Join(t.TempDir(), "data")}, last: map[string]int{}, sets: []string{
			"node=" + name, "relay.url=" + redis.URL(), "relay.lease=5s", "history.store=off", "mqtt.listen=", "ops.listen=127.0.0.1:0",
			"external.a.url=mqtt://" + addr, "external.a.prefix=site-a/", "external.a.receiveMaximum=100", "external.a.reconnectMin=20ms", "external.a.keepalive=5s",
		}}
		l.begin()
		eventually.Must(t, name+" to subscribe", func() bool {
			raw, err := os.ReadFile(filepath.Join(l.data, "external", "a.json"))
			return err == nil && strings.Contains(string(raw), `"#"`)
		})
		both = append(both, &twin{life: l, way: way})
	}
	p := brokertest.NewPublisher(t, broker.Addr, 300, false, "press/1", "press/2", "hall/1")
	// lead waits until one of them leads, and returns it first.
	lead := func() (leader, other *twin) {
		t.Helper()
		eventually.Must(t, "one to lead", func() bool { return both[0].leads() || both[1].leads() })
		if both[1].leads() {
			return both[1], both[0]
		}
		return both[0], both[1]
	}
	leader, other := lead()
	leader.more(100)
	other.more(100)

	leader.signal(syscall.SIGSTOP)
	eventually.Must(t, "the other to lead while the first is stopped", other.leads)
	other.more(300)
	leader.signal(syscall.SIGCONT)
	leader.more(300)

	leader, other = lead()
	leader.way.Shut(true)
	eventually.Must(t, "the other to lead while the first has lost the broker", other.leads)
	other.more(300)
	leader.more(300)
	leader.way.Shut(false)

	leader, other = lead()
	leader.kill()
	eventually.Must(t, "the other to lead when the first is dead", other.leads)
	other.more(300)
	leader.begin()
	leader.more(300)

	counts, resent := p.Finish()
	published := 0
	for _, n := range counts {
		published += n
	}
	for i, w := range both {
		w.finish(counts)
		t.Logf("bridge %d: published %d, twice at its viewer %d, lost or out of order %d", i+1, published, w.twice, len(w.wrong))
		if w.twice > len(resent) || len(w.wrong) > 0 {
			t.Errorf("bridge %d: twice %d, the publisher sent %d again; wrong %v", i+1, w.twice, len(resent), w.wrong)
		}
	}
}

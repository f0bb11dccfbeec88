package scenarios

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/conform"
	"plumbline/harness/conform/targets"
	"plumbline/harness/conform/ws"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
)

// peer is a bench of somebody else's bridge.
func peer(t *testing.T, file string, needs ...string) func(context.Context) (*harness.Bench, error) {
	t.Helper()
	for _, name := range needs {
		_, err := exec.LookPath(name)
		if strings.Contains(name, "/") {
			_, err = os.Stat(name)
		}
		if err != nil {
			t.Fatalf("%s is missing; run: make deps-test", name)
		}
	}
	d, err := sut.Load("peers/" + file)
	if err != nil {
		t.Fatal(err)
	}
	rig, err := harness.NewRig(harness.Config{
		Profile: &profile.Profile{Name: "test", Version: "1", Gates: profile.Gates{Guard: time.Millisecond}},
		Dir:     t.TempDir(), Seed: 3, SUT: sut.Options{Descriptor: d},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (*harness.Bench, error) {
		b, err := rig.Open(ctx, harness.Plan{Name: "standards", Load: profile.Load{Devices: 1, Rate: 10}})
		if err == nil {
			t.Cleanup(func() { _ = b.Close() })
		}
		return b, err
	}
}

// nodeBreaks says which of RFC 6455's words the library ws of Node.js breaks.
var nodeBreaks = map[string]string{
	"WS-4.2.1-2": "4.2.1 1: it upgrades HTTP/1.0",
	"WS-4.2.1-3": "4.2.1 2: it asks for no Host",
	"WS-4.4-1":   "4.4, our judgement: it takes the drafts' version 8",
	"WS-4.4-4":   "4.2.1: it reads a version as a number of JavaScript",
	"WS-4.4-6":   "4.2.2 4, a SHOULD: it answers 400",
	"WS-10-1":    "10.4, our judgement: 2 s are not enough for it",
	"WS-10-2":    "as WS-10-1",
}

// Viewers of JSON come in as their descriptor says, with and without a token in
// the address and a subscription by frame, and every case comes to a verdict.
func TestStandardsOfNode(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"node.yaml", "node-rooms.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			b, err := peer(t, file, "node", "mosquitto", "peers/node/node_modules/ws")(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			target, o, absent, err := webServer(b)
			if err != nil || absent != "" {
				t.Fatal(absent, err)
			}
			o.Handshake = 2 * time.Second
			r, err := ws.Run(t.Context(), target, o)
			if err != nil {
				t.Fatal(err)
			}
			targets.Explained(t, r, nodeBreaks)
			if n := r.Count(conform.Must, conform.Pass); n < 95 || strings.Contains(r.Target, "token=") {
				t.Errorf("%d cases passed at %s", n, r.Target)
			}
		})
	}
}

// nats-server of Debian ends by a panic when a frame's length has its highest bit
// set: that case has the blame, and all others have their verdicts.
func TestStandardsOutliveNATS(t *testing.T) {
	t.Parallel()
	x := &examination{open: peer(t, "nats.yaml", "nats-server"), step: t.Logf, found: conformance{WebSocket: &examined{}}}
	if err := x.examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := x.found.WebSocket
	if e.Trouble != "" || len(e.Cases) != len(ws.Rules()) {
		t.Fatalf("%d cases, %q", len(e.Cases), e.Trouble)
	}
	for _, c := range e.Cases {
		if c.Verdict == conform.NotRun || c.Verdict == conform.Inconclusive {
			t.Errorf("%s: %q %s", c.ID, c.Verdict, c.Detail)
		}
		if c.Killed && (c.ID != "WS-5.2-32" || !strings.Contains(c.Detail, "exit status 2")) {
			t.Errorf("%s ended it: %s", c.ID, c.Detail)
		}
	}
	if deaths := x.found.Deaths; len(deaths) > 0 && deaths[0].Case != "WS-5.2-32" || len(deaths) > 1 {
		t.Errorf("%v", deaths)
	}
	t.Logf("%d deaths", len(x.found.Deaths)) // none with a nats-server that is mended
}

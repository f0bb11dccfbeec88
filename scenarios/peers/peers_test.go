// Package peers_test judges the bridges of other people that lie here with the
// real programs: each descriptor must lead to a recording that is right about
// them.
package peers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/sut"
)

const patience = 60 * time.Second

var load = profile.Load{Devices: 10, Rate: 200, Viewers: 2, Burst: 2, Drain: 10 * time.Second}

// built is where programs of this module are built, once.
var built struct {
	sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code) //nolint:forbidigo // this is main
}

// program builds a program of this module.
func program(t *testing.T, name, path string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	var err error
	if built.dir == "" {
		if built.dir, err = os.MkdirTemp("", "plumbline-peers-"); err != nil { //nolint:usetesting // outlives the test that happens to be first
			t.Fatal(err)
		}
	}
	binary := filepath.Join(built.dir, name)
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, path)
	if strings.HasPrefix(path, "./") { // a module of its own
		build.Dir, build.Args[len(build.Args)-1] = path, "."
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", path, err, out)
	}
	return binary
}

// installed fails when a program or what it needs is not there.
func installed(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if strings.Contains(name, "/") {
			if _, err := os.Stat(name); err != nil {
				t.Fatalf("%s is missing; run: make deps-test", name)
			}
		} else if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is not installed; run: make deps-test", name)
		}
	}
}

// rigOf reads a descriptor of this folder.
func rigOf(t *testing.T, file string, change func(*sut.Descriptor)) *harness.Rig {
	t.Helper()
	d, err := sut.Load(file)
	must(t, err)
	if change != nil {
		change(d)
	}
	if file == "centrifuge.yaml" {
		d.Start[0].Command[0] = program(t, "centrifuge", "./centrifuge")
	}
	options := sut.Options{Descriptor: d}
	if strings.HasPrefix(file, "bridged") {
		options.Binary = program(t, "bridged", "plumbline/bridge/cmd/bridged")
	}
	rig, err := harness.NewRig(harness.Config{
		Profile: &profile.Profile{Name: "test", Version: "1", Gates: profile.Gates{Guard: 300 * time.Microsecond}},
		Dir:     t.TempDir(), Seed: 3, SUT: options,
	})
	must(t, err)
	return rig
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("waited %v", patience))
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, rig *harness.Rig, plan harness.Plan) *harness.Bench {
	t.Helper()
	b, err := rig.Open(limited(t), plan)
	must(t, err)
	t.Cleanup(func() {
		_ = b.Close()
		if t.Failed() {
			t.Log(strings.Join(b.SUT.LastLog(20), "\n"))
		}
	})
	return b
}

// judge ends the bench and returns what the oracles say about it.
func judge(t *testing.T, b *harness.Bench) (oracle.Delivery, oracle.Order, *record.Log) {
	t.Helper()
	must(t, b.Finish(limited(t)))
	r, err := b.Recorded()
	must(t, err)
	h, err := r.History()
	must(t, err)
	delivery, found := h.Delivery(r.Options(""))
	order, more := h.Order(r.Options(""))
	for _, f := range append(found, more...) {
		t.Logf("%s %s: %s", f.Kind, f.Subject, f.Detail)
	}
	return delivery, order, h.Log()
}

// whole checks that everything arrived once and in order.
func whole(t *testing.T, b *harness.Bench) {
	t.Helper()
	d, o, _ := judge(t, b)
	if d.Owed < 100 || d.Delivered != d.Owed || d.Duplicated+d.Corrupted+d.Phantom+d.Misrouted != 0 || o.Reordered+o.Stale != 0 || o.Deliveries == 0 {
		t.Errorf("delivery %+v, order %+v", d, o)
	}
}

// TestSteady: with nothing broken every bridge brings every message to every
// viewer once, in order and unchanged, and the recording says so.
func TestSteady(t *testing.T) {
	for _, file := range []string{"node.yaml", "node-rooms.yaml", "centrifuge.yaml", "bridged-sse.yaml", "bridged-poll.yaml", "bridged-mosquitto.yaml"} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(file, "node") {
				installed(t, "node", "node/node_modules/mqtt")
			}
			installed(t, "mosquitto")
			b := open(t, rigOf(t, file, nil), harness.Plan{Name: "steady", Load: load})
			must(t, b.Window(limited(t), "steady", 200*time.Millisecond, time.Second))
			whole(t, b)
		})
	}
}

// TestForeignSensors: payloads that are not ours are followed through bridges
// that write them anew.
func TestForeignSensors(t *testing.T) {
	installed(t, "node", "mosquitto", "node/node_modules/mqtt")
	for _, file := range []string{"node.yaml", "node-rooms.yaml", "bridged-sse.yaml", "bridged-poll.yaml"} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			rig := rigOf(t, file, nil)
			specs, err := harness.ParseDevices("test.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: test\ndevices:\n  - {id: plug, kind: mqtt-twin, period: 20ms}\n"))
			must(t, err)
			b := open(t, rig, harness.Plan{Name: "foreign", Load: load, Sources: specs, Filters: []string{"tele/+/SENSOR", "bench/#"}})
			must(t, b.Window(limited(t), "foreign", 200*time.Millisecond, time.Second))
			d, _, log := judge(t, b)
			if d.Owed < 20 || d.Delivered != d.Owed || d.Duplicated+d.Corrupted+d.Phantom+d.Misrouted != 0 || !log.Index.Streams[0].Foreign {
				t.Errorf("delivery %+v of %+v", d, log.Index.Streams)
			}
		})
	}
}

// TestResumes: what was published while a viewer was away is brought by the
// bridges that declare it, and missed with those that do not.
func TestResumes(t *testing.T) {
	for _, file := range []string{"bridged-sse.yaml", "bridged-poll.yaml", "bridged-mosquitto.yaml", "centrifuge.yaml", "node.yaml"} {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			t.Parallel()
			installed(t, "mosquitto")
			if file == "node.yaml" {
				installed(t, "node", "mosquitto", "node/node_modules/mqtt")
			}
			rig := rigOf(t, file, nil)
			load := load
			if !rig.Has(sut.CapResume) {
				load.Drain = 2 * time.Second // all of it is waited for what was missed
			}
			b := open(t, rig, harness.Plan{Name: "away", Load: load, ViewerFault: true})
			must(t, b.Around(limited(t), "away", 300*time.Millisecond, time.Second, func(ctx context.Context) error {
				if err := b.Fresh(ctx, patience); err != nil { // who has had nothing yet may have no place to resume from
					return err
				}
				return fault.Apply(ctx, b.Recorder, b.ViewerProxy.CutFault(true), 500*time.Millisecond)
			}))
			must(t, b.Settled(limited(t), patience))
			d, o, _ := judge(t, b)
			if rig.Has(sut.CapResume) != (d.Lost == 0) || d.Duplicated+d.Corrupted+d.Phantom != 0 || o.Reordered != 0 || d.Delivered == 0 {
				t.Errorf("delivery %+v, order %+v", d, o)
			}
		})
	}
}

// TestRoomsRefusesStrangers: tokens go where the descriptor says, and a wrong
// one is refused with a clear error.
func TestRoomsRefusesStrangers(t *testing.T) {
	installed(t, "node", "mosquitto", "node/node_modules/mqtt")
	key := filepath.Join(t.TempDir(), "other.key")
	must(t, os.WriteFile(key, []byte("another key, of which the bridge knows nothing"), 0o600))
	rig := rigOf(t, "node-rooms.yaml", func(d *sut.Descriptor) { d.Auth.JWT.SecretFile = key })
	_, err := rig.Open(limited(t), harness.Plan{Name: "stranger", Load: load})
	if err == nil || !strings.Contains(err.Error(), "refused with HTTP status 401") {
		t.Errorf("a viewer with a forged token gives %v", err)
	}
}

// TestRoomsShowsLastValues: what a new viewer is shown first is no live reading.
func TestRoomsShowsLastValues(t *testing.T) {
	installed(t, "node", "mosquitto", "node/node_modules/mqtt")
	b := open(t, rigOf(t, "node-rooms.yaml", nil), harness.Plan{Name: "last", Load: load})
	must(t, b.Window(limited(t), "last", 0, 300*time.Millisecond))
	v, err := b.AddViewer(limited(t), harness.ViewerConfig(b, "late"))
	must(t, err)
	must(t, harness.Until(limited(t), patience, "the last values", func() bool { return v.Counters().Restored >= uint64(load.Devices) }))
	if c := v.Counters(); c.Restored != uint64(load.Devices) || c.Received != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestLapsesAreKept: a system that ends in bad order leaves that as evidence, and
// is judged all the same.
func TestLapsesAreKept(t *testing.T) {
	installed(t, "mosquitto")
	b := open(t, rigOf(t, "mosquitto.yaml", func(d *sut.Descriptor) {
		p := &d.Start[0]
		p.Command = []string{"/bin/sh", "-c", `trap 'kill $!; wait; exit 7' TERM; mosquitto "$@" & wait`, "sh", "-c", p.Command[2]}
	}), harness.Plan{Name: "lapse", Load: load})
	must(t, b.Window(limited(t), "lapse", 0, time.Second))
	must(t, b.Finish(limited(t)))
	r, err := b.Recorded()
	must(t, err)
	if len(r.Lapses) != 1 || r.Lapses[0].Process != "mosquitto" || !strings.Contains(r.Lapses[0].Detail, "exit status 7") {
		t.Errorf("lapses %+v", r.Lapses)
	}
}

// TestBrokerOfSomebodyElseRestarts: what Mosquitto passed on before and after its
// restart reaches the viewers of a bridge that is none of its parts.
func TestBrokerOfSomebodyElseRestarts(t *testing.T) {
	installed(t, "mosquitto")
	b := open(t, rigOf(t, "bridged-mosquitto.yaml", nil), harness.Plan{Name: "broker", Load: load})
	if !b.SUT.BrokerApart() {
		t.Fatal("the broker is taken for a part of the bridge")
	}
	must(t, b.Around(limited(t), "broker", 300*time.Millisecond, 500*time.Millisecond, func(ctx context.Context) error {
		for range 2 {
			if err := b.SUT.RestartBroker(ctx); err != nil {
				return err
			}
			if err := b.Fresh(ctx, patience); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, b.Settled(limited(t), patience))
	d, o, _ := judge(t, b)
	if d.Delivered < 100 || d.Lost != 0 || d.Corrupted+d.Phantom+d.Misrouted != 0 || o.Reordered+o.Stale != 0 {
		t.Errorf("delivery %+v, order %+v", d, o)
	}
}

// TestAddedDevicesSpeakTheVersionOfTheBroker: a device that a scenario adds reaches a
// broker that takes MQTT 3.1.1 alone, as the fleet does.
func TestAddedDevicesSpeakTheVersionOfTheBroker(t *testing.T) {
	installed(t, "nats-server")
	b := open(t, rigOf(t, "nats.yaml", nil), harness.Plan{Name: "added", Load: profile.Load{Devices: 1, Viewers: 1, Drain: 10 * time.Second}})
	added, err := b.AddDevice(limited(t), "added", harness.Topic("added"), 8)
	must(t, err)
	for range 5 {
		_, err := added.Send(limited(t), 100)
		must(t, err)
	}
	must(t, added.WaitAcked(limited(t)))
	must(t, b.Viewers[0].WaitReceived(limited(t), 5))
	if d, _, _ := judge(t, b); d.Owed != 5 || d.Delivered != 5 {
		t.Errorf("delivery %+v", d)
	}
}

// TestNoWindowHoldsBackQoS0: Mosquitto grants 20 unacknowledged messages. While it
// is stopped, devices of QoS 0 go on all the same, and nothing of it is lost.
func TestNoWindowHoldsBackQoS0(t *testing.T) {
	installed(t, "mosquitto")
	for _, loose := range []bool{true, false} {
		b := open(t, rigOf(t, "mosquitto.yaml", nil), harness.Plan{
			Name: "stopped", Load: profile.Load{Devices: 1, Rate: 200, Viewers: 1, Drain: 10 * time.Second}, QoS0: loose,
		})
		must(t, b.Around(limited(t), "stopped", 100*time.Millisecond, 300*time.Millisecond, func(ctx context.Context) error {
			return fault.Apply(ctx, b.Recorder, fault.Freeze("SIGSTOP", b.SUT), 300*time.Millisecond)
		}))
		sent, err := b.Generator.Health(limited(t))
		must(t, err)
		must(t, b.Viewers[0].WaitReceived(limited(t), uint64(sent.Sent)))
		if c := b.Viewers[0].Counters(); (sent.Blocked == 0) != loose || c.Disconnects != 0 {
			t.Errorf("QoS 0 is %v: %+v, the viewer %+v", loose, sent, c)
		}
		must(t, b.Finish(limited(t)))
	}
}

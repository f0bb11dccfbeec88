package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/devices/devicetest"
	"plumbline/devices/replay"
	"plumbline/devices/simulated"
	"plumbline/harness/record"
	"plumbline/harness/remote"
)

// modeVariable makes the test binary a generator, or something that is not quite
// one.
const modeVariable = "PLUMBLINE_TEST_GENERATOR"

func TestMain(m *testing.M) {
	mode := os.Getenv(modeVariable)
	if mode == "" {
		os.Exit(m.Run()) //nolint:forbidigo // this is main
	}
	if err := be(mode); err != nil {
		fmt.Fprintln(os.Stderr, "plumbline:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// be is the main of a generator.
func be(mode string) error {
	ctx := context.Background()
	if mode == "right" {
		return Serve(ctx, os.Stdin, os.Stdout, openTestDevice, nil)
	}
	var link *remote.Link
	ready := make(chan struct{})
	link, err := remote.Open(ctx, os.Stdin, os.Stdout, remote.Config{Handle: func(ctx context.Context, verb string, _ []byte) (any, error) {
		<-ready
		switch {
		case verb == verbOpen:
			return opened{}, nil
		case verb == verbClock && mode == "skewed":
			return 1, nil
		case verb == verbClock && mode == "lying":
			return 0, link.Cast(castRecords, (&record.Record{Kind: record.Sent, Node: 7}).Append(nil))
		case mode == "panicking":
			panic("nothing goes any more")
		}
		return nil, errors.New("not today")
	}})
	if err != nil {
		return err
	}
	close(ready)
	<-link.Done()
	return nil
}

type testOrder struct{ ID, Kind string }

// openTestDevice opens a twin that the metronome samples, or a recording.
func openTestDevice(_ context.Context, env Env, order json.RawMessage) (Device, error) {
	var o testOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return Device{}, err
	}
	if o.Kind == "twin" {
		twin, err := simulated.New(simulated.Temperature, o.ID, env.Seed, simulated.Options{Period: 20 * time.Millisecond})
		return Device{Scheduled: twin, Topic: "t/" + o.ID}, err
	}
	rec, err := replay.Embedded()
	if err != nil {
		return Device{}, err
	}
	player, err := rec.Open(replay.Options{ID: o.ID, Loops: -1, Clock: env.Clock.Since})
	return Device{Stream: player, Topic: "t/" + o.ID, Closer: player}, err
}

// own is the command of a generator of that mode.
func own(t *testing.T, mode string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes share no clock here")
	}
	t.Setenv(modeVariable, mode)
	return []string{os.Args[0]}
}

// patient does not ask the server to send clients away when it closes: that can
// lock up in mochi 2.7.9. Generators are closed before their broker.
type patient struct{ *listeners.TCP }

// Close implements listeners.Listener.
func (l patient) Close(listeners.CloseFn) { l.TCP.Close(func(string) {}) }

// startBroker starts a real broker on a free port; with a password it lets in
// only who knows it.
func startBroker(tb testing.TB, password string) *url.URL {
	tb.Helper()
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	ledger := &auth.Ledger{Auth: auth.AuthRules{{Username: "rig", Password: auth.RString(password), Allow: true}}}
	hook, options := mqtt.Hook(new(auth.AllowHook)), any(nil)
	if password != "" {
		hook, options = new(auth.Hook), any(&auth.Options{Ledger: ledger})
	}
	if err := server.AddHook(hook, options); err != nil {
		tb.Fatal(err)
	}
	listener := patient{listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})}
	if err := server.AddListener(listener); err != nil {
		tb.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { devicetest.CloseSoon(tb, "the broker", server.Close) })
	return &url.URL{Scheme: "mqtt", Host: listener.Address()}
}

// scene is a recording with what a generator needs beside it.
type scene struct {
	dir      string
	recorder *record.Recorder
	cfg      Config
}

func newScene(tb testing.TB, broker *url.URL) *scene {
	tb.Helper()
	s := &scene{dir: filepath.Join(tb.TempDir(), "records")}
	recorder, err := record.NewRecorder(s.dir, record.NewClock())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = recorder.Close() })
	s.recorder = recorder
	// Numbers that are taken already show whether those of the generator are mapped.
	recorder.Node(record.Node{Name: "viewer", Role: "viewer"})
	recorder.Stream(record.Stream{Device: "other", Topic: "other"})
	s.cfg = Config{
		Recorder: recorder, Resolver: record.NewResolver("0123abcd"), Broker: broker, Run: "0123abcd", Seed: 7,
		Fleet: &Fleet{Devices: 4, Rate: 400, Burst: 3, BurstEvery: 2, QoS: 1, Root: "t"},
	}
	return s
}

func (s *scene) log(tb testing.TB) *record.Log {
	tb.Helper()
	if err := s.recorder.Close(); err != nil {
		tb.Fatal(err)
	}
	log, err := record.Load(s.dir)
	if err != nil {
		tb.Fatal(err)
	}
	return log
}

func start(t *testing.T, opts Options) *Generator {
	t.Helper()
	g, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// bothWays runs a test against a generator of its own process and one within.
func bothWays(t *testing.T, test func(t *testing.T, opts Options)) {
	t.Helper()
	t.Run("own process", func(t *testing.T) { test(t, Options{Command: own(t, "right")}) })
	t.Run("within", func(t *testing.T) { test(t, Options{Open: openTestDevice}) })
}

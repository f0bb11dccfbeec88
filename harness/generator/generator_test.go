package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/devices/replay"
	"plumbline/devices/simulated"
	"plumbline/harness/load"
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
	tb.Cleanup(func() { _ = server.Close() })
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

func TestGeneratorRecordsEverything(t *testing.T) {
	bothWays(t, func(t *testing.T, opts Options) {
		t.Helper()
		s, ctx := newScene(t, startBroker(t, "")), within(t)
		s.cfg.Devices = []any{testOrder{"twin-1", "twin"}, testOrder{"played", "recording"}}
		g := start(t, opts)
		infos, err := g.Open(ctx, s.cfg)
		if err != nil || len(infos) != 2 || infos[1].ID != "played" {
			t.Fatalf("opening gives %+v, %v", infos, err)
		}
		if _, err := g.Open(ctx, s.cfg); err == nil {
			t.Error("it opened twice")
		}
		if err := errors.Join(g.Connect(ctx), g.Run(ctx, 300*time.Millisecond), g.Run(ctx, 200*time.Millisecond), g.WaitAcked(ctx)); err != nil {
			t.Fatal(err)
		}
		h, err := g.Health(ctx)
		if err != nil || h.Sent < 100 || h.Sent != h.Acked || h.Offered != h.Sent || h.Blocked != 0 {
			t.Errorf("health is %+v, %v", h, err)
		}
		if sent, acked := g.Taken(); sent != h.Sent || acked != h.Acked {
			t.Errorf("%d sent and %d acknowledged were taken, health is %+v", sent, acked, h)
		}
		streams := g.Streams()
		if err := errors.Join(g.Close(), g.Close(), g.Err()); err != nil {
			t.Fatal(err)
		}
		log := s.log(t)
		if log.Partial {
			t.Error("the recording is partial")
		}
		if len(streams) != 5 || log.Index.Streams[streams[4]].Device != "twin-1" || streams[0] == 0 {
			t.Errorf("the metronome drives %v of %+v", streams, log.Index.Streams)
		}
		checkRecords(t, log, h)
		checkReport(t, g.Report(), len(opts.Command) > 0)
	})
}

// checkRecords holds records and events against what the generator counted.
func checkRecords(t *testing.T, log *record.Log, h load.Health) {
	t.Helper()
	counts := map[record.Kind]int64{}
	last := map[uint32]uint64{}
	for _, r := range log.Records {
		counts[r.Kind]++
		node, stream := log.Index.Nodes[r.Node], log.Index.Streams[r.Stream]
		if node.Role != "publisher" || node.Name != "publisher "+stream.Device {
			t.Fatalf("a record of stream %q has node %q", stream.Device, node.Name)
		}
		if r.Kind == record.Sent {
			if r.Seq != last[r.Stream]+1 || r.Due <= 0 || r.At < r.Due && stream.Period > 0 || r.End < r.At {
				t.Fatalf("record %+v follows position %d", r, last[r.Stream])
			}
			last[r.Stream] = r.Seq
		}
	}
	if counts[record.Sent] != h.Sent || counts[record.Acked] != h.Acked {
		t.Errorf("recorded are %v, counted %+v", counts, h)
	}
	connected := 0
	for _, e := range log.Events {
		if e.Kind == record.Connected && e.At > 0 {
			connected++
		}
	}
	if connected != 6 { // the fleet, the twin and the recording
		t.Errorf("%d connections were recorded", connected)
	}
}

func checkReport(t *testing.T, r Report, own bool) {
	t.Helper()
	if r.Own != own || (r.PID > 0) != own || (r.Hiccup != nil) != own || (r.GC != nil) != own || len(r.Damaged) != 2 {
		t.Errorf("the report is %+v", r)
	}
	if own && (r.PID == os.Getpid() || r.Hiccup.N < 100) {
		t.Errorf("process %d had %d hiccups", r.PID, r.Hiccup.N)
	}
}

func TestHandsSendWhatTheyAreTold(t *testing.T) {
	bothWays(t, func(t *testing.T, opts Options) {
		t.Helper()
		s, ctx := newScene(t, startBroker(t, "")), within(t)
		s.cfg.Fleet = nil
		g := start(t, opts)
		if _, err := g.Open(ctx, s.cfg); err != nil {
			t.Fatal(err)
		}
		if err := g.Run(ctx, time.Millisecond); err == nil {
			t.Error("it ran without devices")
		}
		hand, err := g.Hand(ctx, HandOptions{Name: "hand", Will: &load.Will{Topic: "t/gone", Payload: []byte("gone")}})
		if err != nil {
			t.Fatal(err)
		}
		aside, err := g.Hand(ctx, HandOptions{Name: "aside", Aside: true, InFlight: 1})
		if err != nil {
			t.Fatal(err)
		}
		line, err := hand.Line(ctx, record.Stream{Device: "hand", Topic: "t/hand", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		bulky, err := aside.Line(ctx, record.Stream{Device: "aside", Topic: "t/aside", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		if sent, err := line.Send(ctx, load.Parcel{QoS: 0, Value: 1}, load.Parcel{QoS: 1, Value: 2}, load.Parcel{QoS: 1, Fill: 100_000}); err != nil || sent != 3 {
			t.Errorf("%d were sent, %v", sent, err)
		}
		if _, err := bulky.Send(ctx, load.Parcel{QoS: 1, Fill: 5}); err != nil {
			t.Error(err)
		}
		if err := errors.Join(hand.WaitAcked(ctx), g.WaitAcked(ctx), aside.WaitAcked(ctx)); err != nil {
			t.Error(err)
		}
		counts, err := aside.Counts(ctx)
		if h, healthy := g.Health(ctx); err != nil || healthy != nil || h.Acked != 2 || counts.Acked != 1 {
			t.Errorf("aside %+v, all others %+v, %v, %v", counts, h, err, healthy)
		}
		if err := hand.Drop(ctx); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		log := s.log(t)
		if n := len(log.Records); n != 7 || log.Partial {
			t.Errorf("%d records, partial %v", n, log.Partial)
		}
	})
}

// A run that is cancelled has ended when Run returns, and another may begin.
func TestRunEndsWithItsContext(t *testing.T) {
	bothWays(t, func(t *testing.T, opts Options) {
		t.Helper()
		s, ctx := newScene(t, startBroker(t, "")), within(t)
		g := start(t, opts)
		if _, err := g.Open(ctx, s.cfg); err != nil {
			t.Fatal(err)
		}
		if err := g.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			if err := g.Run(short, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a run that was cancelled gives %v", err)
			}
			cancel()
		}
	})
}

// What goes wrong in the generator is told in its words.
func TestFailuresAreTold(t *testing.T) {
	bothWays(t, func(t *testing.T, opts Options) {
		t.Helper()
		broker := startBroker(t, "let me in")
		s, ctx := newScene(t, broker), within(t)
		s.cfg.Devices = []any{"no order"}
		g := start(t, opts)
		if _, err := g.Open(ctx, s.cfg); err == nil || !strings.Contains(err.Error(), "device 1") {
			t.Errorf("a device that does not open gives %v", err)
		}
		if err := g.Connect(ctx); err == nil || !strings.Contains(err.Error(), "not open") {
			t.Errorf("connecting what is not open gives %v", err)
		}
		s, g = newScene(t, broker), start(t, opts)
		s.cfg.Username, s.cfg.Password = "rig", "wrong"
		if _, err := g.Open(ctx, s.cfg); err != nil {
			t.Fatal(err)
		}
		if err := g.Connect(ctx); err == nil || !strings.Contains(err.Error(), "check user name") || errors.Is(err, ErrDied) {
			t.Errorf("a wrong password gives %v", err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The password goes to the process by its input: others can read arguments and
// environment.
func TestSecretsAreInNoArgument(t *testing.T) {
	const password = "correct horse battery staple"
	opts := Options{Command: own(t, "right")}
	s, ctx := newScene(t, startBroker(t, password)), within(t)
	s.cfg.Username, s.cfg.Password = "rig", password
	g := start(t, opts)
	if _, err := g.Open(ctx, s.cfg); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Connect(ctx), g.Run(ctx, 20*time.Millisecond), g.WaitAcked(ctx)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(g.Report().PID), file))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 || strings.Contains(string(text), password) {
			t.Errorf("%s holds %d bytes, or the password", file, len(text))
		}
	}
}

// A generator that is killed ends the run at once, and what it had recorded stays
// readable as a partial recording.
func TestKilledGeneratorLeavesWhatItRecorded(t *testing.T) {
	opts := Options{Command: own(t, "right")}
	s, ctx := newScene(t, startBroker(t, "")), within(t)
	g := start(t, opts)
	if _, err := g.Open(ctx, s.cfg); err != nil {
		t.Fatal(err)
	}
	if err := g.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx, time.Hour) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := int64(0); sent < 20; sent, _ = g.Taken() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("waited in vain: 20 messages were sent")
		}
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the run ended with %v", err)
	}
	<-g.Done()
	if err := g.Connect(ctx); !errors.Is(err, ErrDied) {
		t.Errorf("a call to a dead generator gives %v", err)
	}
	if err := g.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("closing a dead generator gives %v", err)
	}
	if log := s.log(t); !log.Partial || len(log.Records) < 20 {
		t.Errorf("partial is %v with %d records", log.Partial, len(log.Records))
	}
}

func TestDeathsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		mode string
		died bool
		says string
	}{
		"panics":            {"panicking", true, "nothing goes any more"},
		"lies":              {"lying", true, "node 7 of 0"},
		"has another clock": {"skewed", false, "one time namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Command: own(t, c.mode)}
			s, ctx := newScene(t, &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}), within(t)
			g := start(t, opts)
			if _, err := g.Open(ctx, s.cfg); errors.Is(err, ErrDied) != c.died || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("opening gives %v", err)
			}
		})
	}
}

func TestProgramsThatAreNoGenerator(t *testing.T) {
	if _, err := Start(Options{Command: []string{"/no/such/program"}}); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("a program that is not there gives %v", err)
	}
	own(t, "right")
	for words, want := range map[string]string{
		"echo usage: something else": "is it a plumbline",
		"echo broken >&2; exit 3":    `exit status 3; it said last: "broken"`,
	} {
		g := start(t, Options{Command: []string{"/bin/sh", "-c", words}})
		s := newScene(t, &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"})
		if _, err := g.Open(within(t), s.cfg); !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", words, err)
		}
	}
}

// The end of its input ends the generator, whatever became of the harness.
func TestGeneratorEndsWithItsInput(t *testing.T) {
	command := own(t, "right")
	cmd := exec.CommandContext(within(t), command[0])
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	link, err := remote.Open(within(t), out, in, remote.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var failure *remote.Error
	if err := link.Call(within(t), verbHealth, nil, nil); !errors.As(err, &failure) { // now it serves
		t.Fatal(err)
	}
	if err := in.Close(); err != nil { // what the kernel does when a process is gone
		t.Fatal(err)
	}
	<-link.Done()
	if err := errors.Join(cmd.Wait(), link.Close()); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestWordsKeepTheCause(t *testing.T) {
	w := &words{log: slog.New(slog.DiscardHandler)}
	if got := w.last(); got != "" {
		t.Errorf("of nothing it keeps %q", got)
	}
	for _, part := range []string{"panic", ": boom\n", strings.Repeat("long", 1000), "\n"} {
		_, _ = w.Write([]byte(part))
	}
	for i := range 100 {
		fmt.Fprintf(w, "goroutine %d\n", i)
	}
	got := w.last()
	if !strings.Contains(got, "panic: boom") || !strings.Contains(got, "goroutine 99") || strings.Contains(got, "goroutine 90\\") || strings.Contains(got, "long") {
		t.Errorf("it keeps %s", got)
	}
}

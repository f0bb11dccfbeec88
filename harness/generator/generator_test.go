package generator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/remote"
)

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
		// Who sees a message may do so before the generator tells of it.
		for _, topic := range []string{"t/temperature-001", "t/twin-1", "t/played"} {
			if stream, _, _ := s.cfg.Resolver.Resolve(topic, []byte("no payload of ours")); stream == record.NoStream {
				t.Errorf("nobody knows the stream of %q before its first message", topic)
			}
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
	if own && (r.PID == os.Getpid() || r.Hiccup.N == 0) {
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
		if _, err := g.Open(ctx, s.cfg); !errors.Is(err, ErrDevice) || !strings.Contains(err.Error(), "device 1") {
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

// One that is let go before it was opened, or before it has greeted, has not died.
func TestGeneratorIsLetGo(t *testing.T) {
	commands := [][]string{own(t, "right"), own(t, "right"), nil}
	if sh, err := exec.LookPath("sh"); err == nil {
		commands = append(commands, []string{sh, "-c", "cat > /dev/null"}) // never greets
	}
	for _, command := range commands {
		g := start(t, Options{Command: command})
		if err := errors.Join(g.Close(), g.Close(), g.Err()); err != nil {
			t.Errorf("%v: closing gives %v", command, err)
		}
		<-g.Done()
	}
}

func TestWordsKeepTheCause(t *testing.T) {
	w := NewWords(slog.New(slog.DiscardHandler))
	if got := w.Last(); got != "" {
		t.Errorf("of nothing it keeps %q", got)
	}
	for _, part := range []string{"panic", ": boom\n", strings.Repeat("long", 1000), "\n"} {
		_, _ = w.Write([]byte(part))
	}
	for i := range 100 {
		fmt.Fprintf(w, "goroutine %d\n", i)
	}
	got := w.Last()
	if !strings.Contains(got, "panic: boom") || !strings.Contains(got, "goroutine 99") || strings.Contains(got, "goroutine 90\\") || strings.Contains(got, "long") {
		t.Errorf("it keeps %s", got)
	}
}

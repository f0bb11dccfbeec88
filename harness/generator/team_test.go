package generator

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
)

func startTeam(t *testing.T, opts Options, n int) *Team {
	t.Helper()
	team, err := StartTeam(opts, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = team.Close() })
	return team
}

// TestTeam: generators with a share each are, in the recording, the one that they stand for:
// every device once, by its name and at its rate, on one clock.
func TestTeam(t *testing.T) {
	bothWays(t, func(t *testing.T, opts Options) {
		t.Helper()
		broker, ctx := startBroker(t, ""), within(t)
		alone := newScene(t, broker)
		g := start(t, opts)
		if _, err := g.Open(ctx, alone.cfg); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		want := alone.log(t).Index.Streams[1:]

		s := newScene(t, broker)
		s.cfg.Devices = []any{testOrder{"played", "recording"}}
		team := startTeam(t, opts, 3)
		infos, err := team.Open(ctx, s.cfg)
		if err != nil || len(infos) != 1 || infos[0].ID != "played" {
			t.Fatalf("opening gives %+v, %v", infos, err)
		}
		if err := errors.Join(team.Connect(ctx), team.Run(ctx, 300*time.Millisecond), team.WaitAcked(ctx)); err != nil {
			t.Fatal(err)
		}
		hand, err := team.Hand(ctx, HandOptions{Name: "hand"})
		if err != nil {
			t.Fatal(err)
		}
		line, err := hand.Line(ctx, record.Stream{Device: "hand", Topic: "t/hand", QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := line.Send(ctx, load.Parcel{QoS: 1}); err != nil {
			t.Fatal(err)
		}
		if err := team.WaitAcked(ctx); err != nil {
			t.Fatal(err)
		}
		h, err := team.Health(ctx)
		if sent, acked := team.Taken(); err != nil || h.Sent < 20 || h.Sent != h.Acked || sent != h.Sent || acked != h.Acked {
			t.Errorf("health is %+v, %v; taken were %d and %d", h, err, sent, acked)
		}
		streams := team.Streams()
		if err := errors.Join(team.Close(), team.Close(), team.Err()); err != nil {
			t.Fatal(err)
		}
		<-team.Done()
		if reports := team.Reports(); len(reports) != 3 || (len(opts.Command) > 0) != (reports[2].PID != reports[0].PID && reports[2].Hiccup != nil) {
			t.Errorf("reports are %+v", reports)
		}
		log := s.log(t)
		got := log.Index.Streams[1:]
		if log.Partial || len(streams) != 4 || len(got) != 6 {
			t.Fatalf("partial %v, the metronomes drive %v of %+v", log.Partial, streams, got)
		}
		for _, w := range want {
			if n := slices.Index(got, w); n < 0 {
				t.Errorf("nobody is %+v: %+v", w, got)
			}
		}
		counts := map[uint32]int{}
		for _, r := range log.Records {
			if r.Kind == record.Sent {
				counts[r.Stream]++
			}
		}
		for _, stream := range streams {
			if counts[stream] == 0 {
				t.Errorf("%q said nothing", log.Index.Streams[stream].Device)
			}
		}
	})
}

// TestTeamThatLosesOne: the death of any of them is that of the team, and ends what all do.
func TestTeamThatLosesOne(t *testing.T) {
	s, ctx := newScene(t, startBroker(t, "")), within(t)
	team := startTeam(t, Options{Command: own(t, "right")}, 2)
	if _, err := team.Open(ctx, s.cfg); err != nil {
		t.Fatal(err)
	}
	if err := team.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- team.Run(ctx, time.Hour) }()
	process, err := os.FindProcess(team.Reports()[1].PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-team.Done():
	case <-ctx.Done():
		t.Fatal("nobody tells that one has died")
	}
	if err := <-ran; !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("driving ended with %v", err)
	}
	if _, err := team.Health(ctx); !errors.Is(err, ErrDied) || !errors.Is(team.Err(), ErrDied) {
		t.Errorf("health ended with %v, the team with %v", err, team.Err())
	}
	if err := team.Close(); !errors.Is(err, ErrDied) {
		t.Errorf("closing gives %v", err)
	}
}

// TestTeamOfTooMany: a generator without a device would wait for nothing.
func TestTeamOfTooMany(t *testing.T) {
	s := newScene(t, startBroker(t, ""))
	team := startTeam(t, Options{Open: openTestDevice}, 5)
	if _, err := team.Open(within(t), s.cfg); err == nil || !strings.Contains(err.Error(), "4 devices for 5 generators") {
		t.Errorf("opening gives %v", err)
	}
	if _, err := fleet(&Fleet{Devices: 4, First: 3, Count: 2}, 1); err == nil || !strings.Contains(err.Error(), "devices 4 to 5 of 4") {
		t.Errorf("a share beyond the fleet gives %v", err)
	}
	if _, err := StartTeam(Options{Command: []string{"/nowhere/generator"}}, 2); err == nil {
		t.Error("a program that is not there was started")
	}
}

// TestSharesKeepTime: a share has the rate of its devices and phases of its own; of several
// brokers it begins with the one whose turn it is.
func TestSharesKeepTime(t *testing.T) {
	whole := Fleet{Devices: 10, Rate: 100, Root: "t"}
	shares, err := whole.shares(3)
	if err != nil {
		t.Fatal(err)
	}
	all, rate, seeds := 0, 0.0, map[uint64]bool{}
	for _, share := range shares {
		if share.First != all {
			t.Errorf("%+v begins after %d", share, all)
		}
		all += share.Count
		cfg, err := configOf(settings{Broker: "mqtt://127.0.0.1:1", Fleet: share, Seed: 7, Hosts: []string{"127.0.0.1:1", "127.0.0.1:2"}})
		if err != nil {
			t.Fatal(err)
		}
		rate += cfg.Rate
		seeds[cfg.Seed] = true
	}
	if all != 10 || rate < 99.999 || rate > 100.001 || len(seeds) != 3 || !seeds[7] {
		t.Errorf("%d devices with %v messages a second, seeds %v", all, rate, seeds)
	}
	if none, err := (*Fleet)(nil).shares(2); err != nil || len(none) != 2 || none[0] != nil {
		t.Errorf("shares of no fleet are %v, %v", none, err)
	}
}

// TestDialFrom: a device connects from its share's address to brokers of loopback, and
// leaves others to the kernel.
func TestDialFrom(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // its backlog takes them
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	broker := listener.Addr().String()
	for _, dial := range []func(string) load.Dial{
		dialOf(settings{Local: "127.0.0.9"}), dialOf(settings{Local: "127.0.0.9", Via: broker}), dialOf(settings{Local: "127.0.0.9", Hosts: []string{broker}}),
	} {
		conn, err := dial("x")(within(t), "tcp", broker)
		if err != nil {
			t.Fatal(err)
		}
		if from := conn.LocalAddr().String(); runtime.GOOS == "linux" && !strings.HasPrefix(from, "127.0.0.9:") {
			t.Errorf("it connects from %s", from)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if dialOf(settings{}) != nil {
		t.Error("without any of it there is a way of its own")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dialFrom(ended, "127.0.0.9", "tcp", broker); !errors.Is(err, context.Canceled) {
		t.Errorf("a dial that was cancelled gives %v", err)
	}
}

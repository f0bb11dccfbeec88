package harness_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/generator"
	"plumbline/harness/oracle"
	"plumbline/harness/sut"
)

// ownGenerator gives a rig a generator in a process of its own.
func ownGenerator(t *testing.T) func(*harness.Config) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes share no clock here")
	}
	t.Setenv(generatorVariable, "1")
	return func(c *harness.Config) { c.Generator = []string{os.Args[0]} }
}

func TestBenchWithAGeneratorOfItsOwn(t *testing.T) {
	rig := newRig(t, ownGenerator(t))
	b := open(t, rig, harness.Plan{Name: "own", Load: small, BrokerFault: true})
	if err := b.Window(t.Context(), "w", 100*time.Millisecond, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r, h := finish(t, b)
	d, found := h.Delivery(r.Options("DEL-01"))
	if d.Owed < 100 || d.Lost+d.Unconfirmed+d.Duplicated != 0 || d.Delivered != d.Owed {
		t.Errorf("delivery is %+v, %v", d, found)
	}
	if r.Generator != harness.OwnProcess || rig.Generator() != harness.OwnProcess || len(r.Processes) != 2 {
		t.Fatalf("the evidence says %q of %d processes", r.Generator, len(r.Processes))
	}
	for i, name := range []string{"harness", "generator"} {
		p := r.Processes[i]
		if p.Name != name || p.PID == 0 || p.Hiccup == nil || p.Hiccup.N == 0 || p.GC == nil {
			t.Errorf("process %d is %+v", i, p)
		}
	}
	if r.Processes[0].PID == r.Processes[1].PID {
		t.Error("both are one process")
	}
	if health := r.Health(h, rig.Profile()); health.Achieved != health.Offered || !(health.SlipP99 > 0) {
		t.Errorf("health is %+v", health)
	}
	if !slices.IsSortedFunc(r.Gaps, func(a, b oracle.Gap) int { return int(a.At - b.At - int64(b.Length)) }) {
		t.Errorf("gaps overlap: %v", r.Gaps)
	}
}

func TestBenchWithinSaysSo(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "within", Load: small})
	r, _ := finish(t, b)
	if r.Generator != harness.WithinHarness || len(r.Processes) != 1 || r.Processes[0].Name != "harness" {
		t.Errorf("the evidence says %q of %+v", r.Generator, r.Processes)
	}
}

// A generator that dies ends what is under way, by name, as a fault of the
// harness, and what it recorded stays.
func TestBenchTellsOfADeadGenerator(t *testing.T) {
	rig := newRig(t, ownGenerator(t))
	b := open(t, rig, harness.Plan{Name: "dead", Load: small})
	err := b.Drive(t.Context(), 0, func(ctx context.Context) error {
		if err := harness.Until(ctx, time.Minute, "messages are sent", func() bool { sent, _ := b.Generator.Taken(); return sent > 10 }); err != nil {
			return err
		}
		process, err := os.FindProcess(b.Generator.Report().PID)
		if err != nil {
			return err
		}
		if err := process.Kill(); err != nil {
			return err
		}
		<-ctx.Done() // the death of the generator ends it
		return ctx.Err()
	})
	if !errors.Is(err, generator.ErrDied) || errors.Is(err, sut.ErrUnavailable) || errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("driving ended with %v", err)
	}
	if err := b.Finish(t.Context()); !errors.Is(err, generator.ErrDied) {
		t.Errorf("finishing gives %v", err)
	}
	if err := b.Close(); !errors.Is(err, generator.ErrDied) {
		t.Errorf("closing gives %v", err)
	}
	r, err := b.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.History()
	if err != nil || !h.Log().Partial || len(h.Log().Records) <= 10 {
		t.Errorf("the recording holds %d records, partial %v, %v", len(h.Log().Records), h.Log().Partial, err)
	}
}

// Every kind of source works through a generator of its own; what lies at the far
// end of a line stays in the harness.
func TestSourcesThroughAGeneratorOfItsOwn(t *testing.T) {
	rig := newRig(t, ownGenerator(t))
	b := open(t, rig, harness.Plan{Name: "sources", Load: small, Sources: harness.DefaultDevices(), Filters: rig.Filters()})
	if err := b.Window(t.Context(), "w", 0, 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r, h := finish(t, b)
	if len(r.Devices) != 4 || r.Devices[1].ID != "gps-pty" || !strings.Contains(r.Devices[1].Detail, "pseudo terminal") || r.Devices[2].Mode != "replay" {
		t.Errorf("devices are %+v", r.Devices)
	}
	o := r.Options("DEL-01")
	o.Devices = []string{"host", "gps-pty", "recording"} // the fourth publishes by itself, and nobody waits for its last message
	d, _ := h.Delivery(o)
	if d.Lost+d.Unconfirmed != 0 || d.Delivered == 0 {
		t.Errorf("delivery is %+v", d)
	}
	for _, s := range h.Log().Index.Streams {
		if s.Device == "" || s.Topic == "" {
			t.Errorf("stream %+v", s)
		}
	}
}

// A device that the generator cannot open is a bench that is not available.
func TestDeviceThatTheGeneratorCannotOpen(t *testing.T) {
	rig := newRig(t, ownGenerator(t))
	_, err := rig.Open(t.Context(), harness.Plan{Name: "absent", Load: small, Sources: []harness.DeviceSpec{{ID: "gps", Kind: harness.KindSerial, Port: "/dev/no-such-port"}}})
	if !errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), "/dev/no-such-port") {
		t.Errorf("opening gives %v", err)
	}
}

package harness_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/conform/targets"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/sut"
	"plumbline/reports"
)

func bridged(t *testing.T) string {
	t.Helper()
	binary, err := targets.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// generatorVariable makes the test binary the generator of a bench.
const generatorVariable = "PLUMBLINE_TEST_GENERATOR"

// viewVariable makes it one of the processes that hold viewers.
const viewVariable = "PLUMBLINE_TEST_VIEW"

func TestMain(m *testing.M) {
	if os.Getenv(generatorVariable) != "" {
		if err := harness.ServeGenerator(context.Background(), os.Stdin, os.Stdout, nil); err != nil {
			panic(err)
		}
		return
	}
	if os.Getenv(viewVariable) != "" {
		if err := agent.ServeHere(context.Background(), os.Stdin, os.Stdout, agent.Config{}); err != nil {
			panic(err)
		}
		return
	}
	targets.Main(m)
}

func newRig(t *testing.T, change func(*harness.Config)) *harness.Rig {
	t.Helper()
	cfg := harness.Config{
		Profile: &profile.Profile{Name: "test", Version: "1", Gates: profile.Gates{Guard: 300 * time.Microsecond}},
		Dir:     t.TempDir(), Seed: 3, SUT: sut.Options{Binary: bridged(t)},
	}
	if change != nil {
		change(&cfg)
	}
	rig, err := harness.NewRig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rig
}

var small = profile.Load{Devices: 3, Rate: 200, Viewers: 2, Burst: 2, Drain: 10 * time.Second}

func open(t *testing.T, rig *harness.Rig, plan harness.Plan) *harness.Bench {
	t.Helper()
	b, err := rig.Open(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// finish ends the bench and reads back what it left.
func finish(t *testing.T, b *harness.Bench) (*harness.Recorded, *oracle.History) {
	t.Helper()
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := b.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.History()
	if err != nil {
		t.Fatal(err)
	}
	return r, h
}

func TestBenchRecordsAWindow(t *testing.T) {
	rig := newRig(t, nil)
	b := open(t, rig, harness.Plan{Name: "window", Load: small, ViewerFault: true, BrokerFault: true})
	if err := b.Window(t.Context(), "w", 100*time.Millisecond, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r, h := finish(t, b)
	d, found := h.Delivery(r.Options("DEL-01"))
	if d.Owed < 100 || d.Lost+d.Unconfirmed+d.Duplicated != 0 || d.Delivered != d.Owed {
		t.Errorf("delivery is %+v, %v", d, found)
	}
	health := r.Health(h, rig.Profile())
	if health.Offered == 0 || health.Achieved != health.Offered || !(health.ClockRead > 0) || !(health.SlipP99 > 0) {
		t.Errorf("health is %+v", health)
	}
	if !math.IsNaN(float64(health.FloorP99)) {
		t.Errorf("the noise floor, which nobody measured, is %v ms", health.FloorP99)
	}
	devices := r.Devices
	if len(devices) != small.Devices || devices[0].Mode != reports.ModeSim {
		t.Errorf("devices are %+v", devices)
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Errorf("finishing again gives %v", err)
	}
	if r.SUT.Name == "" || len(r.SUT.Artifacts) == 0 || r.Name != "window" || !r.BrokerInside {
		t.Errorf("the evidence is of %+v", r.Evidence)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing again gives %v", err)
	}
	if b.ViewerProxy.Connections()+b.BrokerProxy.Connections() != 0 {
		t.Error("proxies hold connections after the end")
	}
}

// An interrupt before the action keeps it from happening.
func TestAroundDoesNothingAfterItsEnd(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "around", Load: small})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	acted := false
	err := b.Around(ctx, "a", time.Minute, time.Minute, func(context.Context) error { acted = true; return nil })
	if !errors.Is(err, context.DeadlineExceeded) || acted {
		t.Errorf("acted %v, error is %v", acted, err)
	}
}

// Fresh waits until each viewer has something of the time after the call, however long the viewers' line is dead, and no longer than told.
func TestFreshWaitsForNewData(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "fresh", Load: small, ViewerFault: true})
	received := func() (least uint64) {
		least = math.MaxUint64
		for _, v := range b.Viewers {
			least = min(least, v.Counters().Received)
		}
		return least
	}
	err := b.Around(t.Context(), "w", 100*time.Millisecond, 0, func(ctx context.Context) error {
		before := received()
		if err := b.Fresh(ctx, time.Minute); err != nil {
			return err
		}
		if received() <= before {
			t.Errorf("a viewer has %d readings as before", before)
		}
		dead := b.ViewerProxy.BlackHoleFault(fault.Downstream)
		return fault.During(ctx, b.Recorder, dead, func(ctx context.Context) error {
			// What was on its way may still come, and a viewer have what the generator has yet to be told of.
			for until := time.Now().Add(time.Minute); time.Now().Before(until); {
				begin, held := time.Now(), received()
				if err := b.Fresh(ctx, 300*time.Millisecond); err != nil {
					return err
				}
				if received() == held && time.Since(begin) >= 300*time.Millisecond {
					return nil
				}
				if err := harness.Wait(ctx, 5*time.Millisecond); err != nil {
					return err
				}
			}
			return errors.New("for a minute Fresh has not waited out a dead line, or that has brought readings")
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPeekLooksWithoutEnding(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "peek", Load: small})
	for range 2 {
		if err := b.Window(t.Context(), "w", 0, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		h, err := b.Peek(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d, _ := h.Delivery(b.Options("")); d.Delivered == 0 || d.Lost != 0 {
			t.Errorf("a peek shows %+v", d)
		}
	}
}

func TestDyingSystemEndsTheWindow(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "dying", Load: small})
	began := time.Now()
	go func() {
		_ = harness.Wait(context.Background(), 200*time.Millisecond)
		if p, err := os.FindProcess(b.SUT.Pid()); err == nil {
			_ = p.Kill()
		}
	}()
	err := b.Window(t.Context(), "w", 0, 5*time.Minute)
	if !errors.Is(err, sut.ErrUnavailable) || time.Since(began) > time.Minute {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	if err := b.Finish(t.Context()); !errors.Is(err, sut.ErrUnavailable) {
		t.Errorf("finishing gives %v", err)
	}
}

// A system that dies while everything drains has delivered nothing that counts.
func TestDyingSystemEndsTheDrain(t *testing.T) {
	load := small
	load.Drain = 5 * time.Second // killed within it on a busy machine too
	b := open(t, newRig(t, nil), harness.Plan{Name: "drained", Load: load})
	cfg := harness.ViewerConfig(b, "patient") // waits for what never comes, so the drain lasts
	cfg.Filters = []string{harness.Topic("nobody")}
	if _, err := b.AddViewer(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.Window(t.Context(), "w", 0, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		_ = harness.Wait(context.Background(), 500*time.Millisecond)
		if p, err := os.FindProcess(b.SUT.Pid()); err == nil {
			_ = p.Kill()
		}
	})
	if err := b.Finish(t.Context()); !errors.Is(err, sut.ErrUnavailable) {
		t.Errorf("finishing gives %v", err)
	}
}

func TestAnInterruptedWindowSaysSo(t *testing.T) {
	for name, sources := range map[string][]harness.DeviceSpec{"fleet": nil, "sources": {{ID: "room", Kind: harness.KindTwin}}} {
		b := open(t, newRig(t, nil), harness.Plan{Name: name, Load: small, Sources: sources})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, context.Canceled)
		defer cancel()
		if err := b.Window(ctx, "w", 0, time.Minute); err == nil {
			t.Errorf("%s: a window that was interrupted gives no error", name)
		}
	}
}

// After a restart nothing counts as settled that the witness would not see.
func TestSettledWaitsForTheWitness(t *testing.T) {
	t.Parallel()
	b := open(t, newRig(t, nil), harness.Plan{Name: "settled", Load: small})
	for range 3 {
		if err := b.SUT.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Settled(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if c := b.Witness.Counters(); c.Connects <= c.Disconnects {
			t.Fatalf("it is settled without the witness: %+v", c)
		}
	}
}

// What breaks off an action ends the devices too.
func TestDevicesEndWithTheirAction(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "broken-off", Load: small})
	func() {
		defer func() { _ = recover() }()
		_ = b.Drive(t.Context(), 0, func(ctx context.Context) error {
			_ = harness.Wait(ctx, 100*time.Millisecond)
			panic("an assertion, say")
		})
	}()
	if err := b.Window(t.Context(), "w", 0, 50*time.Millisecond); err != nil {
		t.Errorf("the devices cannot run again: %v", err)
	}
}

// What sensors of their own published is waited for like everything else.
func TestDrainWaitsForSensorsOfTheirOwn(t *testing.T) {
	specs, err := harness.ParseDevices("rig.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n"+
		"  - {id: room, kind: twin, period: 50ms}\n  - {id: plug, kind: mqtt-twin, period: 20ms}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, func(c *harness.Config) { c.Devices = specs })
	load := small
	load.Viewers, load.Drain = 1, time.Minute
	b := open(t, rig, harness.Plan{Name: "own", Load: load, Sources: specs, Filters: rig.Filters(), ViewerFault: true})
	// From before the end of the window until a while into the drain nothing reaches
	// the viewer. A drain that has hardly begun by then shows less, and nothing wrong.
	stall := b.ViewerProxy.BlackHoleFault(fault.Downstream)
	limited, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := b.Around(limited, "w", 0, 0, func(ctx context.Context) error {
		before := b.Witness.Counters().Distinct() // what came before the window is not owed
		if err := errors.Join(b.Viewers[0].WaitDistinct(ctx, before+40), stall.Inject(ctx)); err != nil {
			return err
		}
		before = b.Witness.Counters().Distinct()
		return harness.Until(ctx, time.Minute, "the broker to take more", func() bool { return b.Witness.Counters().Distinct() >= before+20 })
	}); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		_ = harness.Wait(context.Background(), 700*time.Millisecond)
		if err := stall.Revert(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r, h := finish(t, b)
	if d, found := h.Delivery(r.Options("DEL-01")); d.Owed < 40 || d.Lost != 0 { // 60 but for those that were on their way when the window began
		t.Errorf("delivery is %+v, %v", d, found)
	}
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	rig := newRig(t, nil)
	rig.UseBinary("/no/such/bridged")
	if _, err := rig.Open(t.Context(), harness.Plan{Name: "x", Load: small}); err == nil || !strings.Contains(err.Error(), "/no/such/bridged") {
		t.Errorf("a missing executable gives %v", err)
	}
	rig = newRig(t, func(c *harness.Config) { c.Dir = "" })
	if _, err := rig.Open(t.Context(), harness.Plan{Name: "x", Load: small}); err == nil {
		t.Error("a rig without a directory was opened")
	}
	rig = newRig(t, nil)
	plan := harness.Plan{Name: "x", Load: small, Sources: []harness.DeviceSpec{{ID: "gone", Kind: harness.KindSerial, Port: "/dev/no-such-port"}}}
	if _, err := rig.Open(t.Context(), plan); !errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), "/dev/no-such-port") {
		t.Errorf("a missing port gives %v", err)
	}
	if _, err := harness.NewRig(harness.Config{}); err == nil {
		t.Error("a rig without a profile was made")
	}
}

// A system that runs and lets nobody in is not available; the harness is fine.
func TestARefusedViewerIsNoFaultOfTheHarness(t *testing.T) {
	b := open(t, newRig(t, nil), harness.Plan{Name: "refused", Load: small})
	cfg := harness.ViewerConfig(b, "stranger")
	cfg.Token = func(context.Context) (string, error) { return "no token", nil }
	if _, err := b.AddViewer(t.Context(), cfg); !errors.Is(err, sut.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a refused viewer gives %v", err)
	}
}

func TestEachOpeningHasItsFolder(t *testing.T) {
	dir := t.TempDir()
	rig := newRig(t, func(c *harness.Config) { c.Dir = dir })
	for range 2 {
		if err := open(t, rig, harness.Plan{Name: "twice", Load: small}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"records/twice/index.json", "records/twice-2/index.json", "sut/twice", "sut/twice-2"} {
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Error(err)
		}
	}
}

func TestSourcesOfEveryKind(t *testing.T) {
	specs := append(harness.DefaultDevices(), harness.DeviceSpec{ID: "room", Kind: harness.KindTwin})
	rig := newRig(t, func(c *harness.Config) { c.Devices = specs })
	load := small
	load.Viewers = 1
	b := open(t, rig, harness.Plan{Name: "sources", Load: load, Sources: rig.Devices(), Filters: rig.Filters()})
	if err := b.Window(t.Context(), "w", 0, 2500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r, h := finish(t, b)
	modes := map[string]reports.Mode{}
	for _, d := range r.Devices {
		modes[d.ID] = d.Mode
	}
	want := map[string]reports.Mode{"host": reports.ModeReal, "gps-pty": reports.ModeSim, "recording": reports.ModeReplay, "tasmota": reports.ModeSim, "room": reports.ModeSim}
	for id, mode := range want {
		if modes[id] != mode {
			t.Errorf("%s is %q, want %q", id, modes[id], mode)
		}
	}
	for _, row := range h.Integrity("sources", r.Options("")) {
		if row.Delivered == 0 || row.Lost != 0 {
			t.Errorf("%s: %+v", row.Device, row)
		}
	}
}

func TestUntilSaysWhatItWaitedFor(t *testing.T) {
	err := harness.Until(t.Context(), 20*time.Millisecond, "the moon is full", func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "the moon is full") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := harness.Until(ctx, time.Minute, "x", func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if err := harness.Until(t.Context(), time.Minute, "x", func() bool { return true }); err != nil {
		t.Error(err)
	}
}

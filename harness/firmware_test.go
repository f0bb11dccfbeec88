package harness_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/reports"
)

// nodes declares nodes of the virtual bench.
func nodes(t *testing.T, n int) []harness.DeviceSpec {
	t.Helper()
	text := "apiVersion: plumbline/v1\nkind: Rig\nname: nodes\ndevices:\n"
	for i := range n {
		text += fmt.Sprintf("  - {id: node-%d, kind: firmware, period: 20ms}\n", i+1)
	}
	specs, err := harness.ParseDevices("nodes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return specs
}

// A value set on the bus of an emulated sensor is shown by a viewer of the real
// bridge, and a command comes to the pins.
func TestANodeOfTheVirtualBenchIsALoop(t *testing.T) {
	t.Parallel()
	specs := nodes(t, 2)
	if err := harness.CheckDevices(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	rig := newRig(t, func(c *harness.Config) {
		c.Devices = append(slices.Clone(specs), harness.DeviceSpec{ID: "room", Kind: harness.KindTwin})
	})
	if got := rig.Stimulable(); len(got) != 2 || got[1].ID != "node-2" {
		t.Errorf("something can be done to %+v", got)
	}
	var screen, passed harness.Screen
	quiet := small
	quiet.Viewers, quiet.Drain = 0, time.Second // the command comes to no viewer, and is waited for all the time
	b := open(t, rig, harness.Plan{Name: "loop", Load: quiet, Sources: specs, Passed: &passed})
	if _, err := b.AddViewer(t.Context(), screen.Watch(harness.ViewerConfig(b, "viewer-01"))); err != nil {
		t.Fatal(err)
	}
	if v := screen.Value("node-1", harness.NodeTemperature); !math.IsNaN(v) {
		t.Errorf("before anything came the screen shows %v", v)
	}
	err := b.Around(t.Context(), "loop", 0, 50*time.Millisecond, func(ctx context.Context) error { return exercise(ctx, b, &screen) })
	if err != nil {
		t.Fatal(err)
	}
	if v := passed.Value("node-2", harness.NodeTemperature); v != -7.25 {
		t.Errorf("the witness saw %v", v)
	}
	r, _ := finish(t, b)
	for _, d := range r.Devices {
		if d.Tier != 2 || d.Time != "live" || d.Mode != reports.ModeSim || !strings.Contains(d.Detail, "firmware") {
			t.Errorf("evidence %+v", d)
		}
	}
	if _, err := b.Fixture("room"); !errors.Is(err, harness.ErrBench) {
		t.Errorf("a fixture of a twin: %v", err)
	}
}

// exercise sets a value and sends a command.
func exercise(ctx context.Context, b *harness.Bench, screen *harness.Screen) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	node, err := b.Fixture("node-2")
	if err != nil {
		return err
	}
	if err := node.Stimulate(ctx, harness.NodeTemperature, -7.25); err != nil {
		return err
	}
	if seq, ok := screen.Wait(ctx, "node-2", harness.NodeTemperature, -7.25); !ok || seq == 0 {
		return errors.New("the temperature never came to the screen")
	}
	hand, err := b.Hand(ctx, "operator", nil)
	if err != nil {
		return err
	}
	line, err := hand.Line(ctx, record.Stream{Device: "operator", Topic: harness.CommandTopic("node-2"), Mode: "sim", QoS: 1, Foreign: true})
	if err != nil {
		return err
	}
	for _, text := range []string{"out 1 1 \x00 junk", strings.Repeat("x", 100), "out 1 1 7"} { // the first two are none
		if _, err := line.Send(ctx, load.Parcel{Raw: []byte(text), QoS: 1}); err != nil {
			return err
		}
	}
	if _, ok := screen.Wait(ctx, "node-2", harness.NodeDone, 7); !ok {
		return errors.New("the command was never read back")
	}
	if on, err := node.Observe(ctx, harness.NodeOutput+"1"); err != nil || on != 1 {
		return fmt.Errorf("output 1 is %v: %w", on, err)
	}
	return nil
}

package harness_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/harness"
)

// A ledger knows what became of each line of a node twin, the drivers count what
// it damaged, and a screen shows the rest: also over noise, a torn line and a
// replug.
func TestANodeTwinIsHeldAgainstItsLedger(t *testing.T) {
	heldAgainstItsLedger(t, "{id: twin, kind: node-twin, period: 50ms, baud: 115200, drift: -0.1}", 1, "")
}

func heldAgainstItsLedger(t *testing.T, declared string, tier int, agent string) {
	t.Helper()
	specs, err := harness.ParseDevices("twins.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: twins\ndevices:\n  - "+declared+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	var screen harness.Screen
	rig := newRig(t, func(c *harness.Config) { c.Devices, c.GuestAgent = specs, agent })
	if len(rig.Stimulable()) != 1 {
		t.Error("nothing can be done to a node twin")
	}
	quiet := small
	quiet.Viewers = 0
	b := open(t, rig, harness.Plan{Name: "twins", Load: quiet, Sources: specs})
	if _, err := b.AddViewer(t.Context(), screen.Watch(harness.ViewerConfig(b, "viewer-01"))); err != nil {
		t.Fatal(err)
	}
	ledger := b.Serial["twin"].Ledger
	if err := b.Around(t.Context(), "twins", 0, 0, func(ctx context.Context) error { return befall(ctx, b, &screen) }); err != nil {
		t.Fatal(err)
	}
	r, _ := finish(t, b)
	if r.Devices[0].Tier != tier || r.Devices[0].Time != "live" {
		t.Errorf("evidence %+v", r.Devices)
	}
	spoken, damaged := ledger.Spoken()
	counted, known := b.Counted("twin")
	overrun := b.Serial["twin"].Port.Stats().Overrun                                                // of a machine too busy to read
	if !known || damaged == 0 || (overrun == 0 && counted.Damaged+counted.Unchecked != damaged+1) { // and the torn line
		t.Errorf("%d lines were damaged, the driver counted %+v", damaged, counted)
	}
	fates := map[harness.Fate]bool{}
	whole := map[uint64]bool{}
	for _, s := range spoken {
		fates[s.Fate] = true
		for n := s.First; n <= s.Last && s.Fate == harness.Whole; n++ {
			whole[n] = true
		}
	}
	if len(fates) != 3 {
		t.Errorf("fates %v", fates)
	}
	roll := screen.Roll("twin")
	for _, run := range roll.Lines {
		for n := run[0]; n <= run[1]; n++ {
			if !whole[n] {
				t.Errorf("line %d was shown and did not go out whole", n)
			}
		}
	}
	if len(roll.Serials) != 1 || roll.Serials[0] != b.Serial["twin"].Serial {
		t.Errorf("lines of %v", roll.Serials)
	}
	if _, known := b.Counted("nobody"); known {
		t.Error("somebody counted for a device that is not there")
	}
}

// befall does to the twin what befalls devices.
func befall(ctx context.Context, b *harness.Bench, screen *harness.Screen) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ledger := b.Serial["twin"].Ledger
	more := func(than uint64) error {
		if ok := screen.Rolled(ctx, "twin", func(_, last uint64) bool { return last > than }); !ok {
			return errors.New("no later line came to the screen")
		}
		return nil
	}
	fixture, err := b.Fixture("twin")
	if err != nil {
		return err
	}
	if err := more(0); err != nil {
		return err
	}
	if err := fixture.Impair(ctx, devices.Impairment{Noise: 0.5, Seed: 7}); err != nil {
		return err
	}
	if err := harness.Until(ctx, time.Minute, "ten damaged lines", func() bool { _, n := ledger.Spoken(); return n >= 10 }); err != nil {
		return err
	}
	if err := fixture.Impair(ctx, devices.Impairment{}); err != nil {
		return err
	}
	if err := more(last(ledger)); err != nil { // its driver has read all before it
		return err
	}
	// The half line glues itself to the next one: one damaged line, none more.
	if err := ledger.Between(ctx, harness.Whole, ledger.Torn); err != nil {
		return err
	}
	if err := more(last(ledger) + 1); err != nil {
		return err
	}
	if err := fixture.Unplug(ctx); err != nil {
		return err
	}
	gone := last(ledger)
	if err := harness.Until(ctx, time.Minute, "lines without a port", func() bool { return last(ledger) > gone+3 }); err != nil {
		return err
	}
	if err := fixture.Plug(ctx); err != nil {
		return err
	}
	return more(last(ledger))
}

// last is the number of the last line that was said, whatever became of it.
func last(l *harness.Ledger) uint64 {
	spoken, _ := l.Spoken()
	return spoken[len(spoken)-1].Last
}

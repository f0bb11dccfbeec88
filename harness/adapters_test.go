package harness_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/devices/inventory"
	"plumbline/harness"
)

// Node twins behind USB adapters are found by what they are: when they exchange
// places each is shown as itself, and what is plugged in in another's place is
// refused with a word.
func TestNodesBehindAdaptersAreFoundByWhatTheyAre(t *testing.T) {
	t.Parallel()
	if why := harness.NoAdapters(); why != "" {
		t.Skip(why)
	}
	specs, err := harness.ParseDevices("usb.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: usb\ndevices:\n"+
		"  - {id: one, kind: node-twin, period: 50ms, baud: 115200}\n  - {id: two, kind: node-twin, period: 50ms, baud: 115200}\n"))
	if err != nil {
		t.Fatal(err)
	}
	one := harness.Adapter{Node: "ttyUSB0", VID: "0403", PID: "6001", Serial: "SN-A", Place: "1-1"}
	two := harness.Adapter{Node: "ttyUSB1", VID: "1a86", PID: "7523", Place: "1-2"}
	specs[0].Port, specs[1].Port = "usb:0403:6001:SN-A", "usb:1a86:7523@1-2"
	quiet := small
	quiet.Viewers = 0
	b := open(t, newRig(t, func(*harness.Config) {}), harness.Plan{
		Name: "usb", Load: quiet, Sources: specs, Adapters: map[string]harness.Adapter{"one": one, "two": two},
	})
	var screen harness.Screen
	if _, err := b.AddViewer(t.Context(), screen.Watch(harness.ViewerConfig(b, "viewer-01"))); err != nil {
		t.Fatal(err)
	}
	for selector, want := range map[string]error{"usb:0403:6001@1-2": inventory.ErrOther, "usb:0403:6001:SN-B": inventory.ErrAbsent, "usb:0403": inventory.ErrSelector} {
		if err := b.TryPort(t.Context(), selector); !errors.Is(err, want) {
			t.Errorf("%s gives %v, want %v", selector, err, want)
		}
	}
	if err := b.Around(t.Context(), "usb", 0, 0, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return replaced(ctx, t, b, &screen, one, two)
	}); err != nil {
		t.Fatal(err)
	}
	finish(t, b)
	for id, line := range b.Serial {
		if roll := screen.Roll(id); len(roll.Serials) != 1 || roll.Serials[0] != line.Serial {
			t.Errorf("as lines of %s, whose serial number is %s, %v were shown", id, line.Serial, roll.Serials)
		}
	}
}

// replaced plugs one in in the place of two, and then each where it belongs.
func replaced(ctx context.Context, t *testing.T, b *harness.Bench, screen *harness.Screen, one, two harness.Adapter) error {
	t.Helper()
	fixture := func(id string) harness.Adapted {
		f, err := b.Fixture(id)
		if err != nil {
			t.Fatal(err)
		}
		usb, able := f.(harness.Adapted)
		if !able {
			t.Fatalf("%s is behind no adapter", id)
		}
		return usb
	}
	more := func(id string) error {
		than := last(b.Serial[id].Ledger)
		if !screen.Rolled(ctx, id, func(_, n uint64) bool { return n > than }) {
			return errors.New("no later line of " + id + " came to the screen")
		}
		return nil
	}
	first, second := fixture("one"), fixture("two")
	moved := one
	moved.Node, moved.Place = two.Node, two.Place
	if err := errors.Join(
		screenHas(ctx, screen, "one"), screenHas(ctx, screen, "two"),
		first.Unplug(ctx), second.Unplug(ctx), first.PlugAs(ctx, moved), more("one"),
	); err != nil {
		return err
	}
	if err := harness.Until(ctx, time.Minute, "the driver of two to say who is in its place", func() bool {
		e := b.PortTold("two")
		return e.Fields["plugged"] == "false" && strings.Contains(e.Detail, "another device is plugged in there: usb:0403:6001:SN-A")
	}); err != nil {
		return err
	}
	if err := first.Unplug(ctx); err != nil {
		return err
	}
	if err := errors.Join(first.PlugAs(ctx, one), second.Plug(ctx), more("one"), more("two")); err != nil {
		return err
	}
	return harness.Until(ctx, time.Minute, "the driver of two to say that its port is back", func() bool { return b.PortTold("two").Fields["plugged"] == "true" })
}

func screenHas(ctx context.Context, screen *harness.Screen, id string) error {
	if !screen.Rolled(ctx, id, func(total, _ uint64) bool { return total > 0 }) {
		return errors.New("nothing of " + id + " came to the screen")
	}
	return nil
}

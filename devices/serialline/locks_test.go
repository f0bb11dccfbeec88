package serialline_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/lock"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
	"plumbline/devices/usbtree"
)

// lockedAdapters is a bench whose lines lock their devices.
func lockedAdapters(t *testing.T) (*adapters, serialline.Config) {
	t.Helper()
	a := newAdapters(t)
	a.inv.Locks = &lock.Dir{Path: t.TempDir()}
	return a, serialline.Config{Inventory: a.inv, Codec: nmea, Locks: a.inv.Locks, Owner: "bench", Purpose: "run 7", RetryEvery: time.Millisecond}
}

// at is the configuration with another port.
func at(cfg serialline.Config, port string) serialline.Config {
	cfg.Port = port
	return cfg
}

// refused wants the port to be held by the bench for its run.
func refused(t *testing.T, cfg serialline.Config) {
	t.Helper()
	l, err := serialline.Open(t.Context(), cfg)
	if err == nil {
		_ = l.Close()
	}
	if !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), `by bench (process `) || !strings.Contains(err.Error(), `"run 7"`) {
		t.Errorf("open %s: %v, want ErrHeld, by whom and what for", cfg.Port, err)
	}
}

// free wants the port to be granted, and gives it back.
func free(t *testing.T, cfg serialline.Config) {
	t.Helper()
	l, err := serialline.Open(t.Context(), cfg)
	if err != nil {
		t.Errorf("open %s: %v, want it granted", cfg.Port, err)
		return
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// lockedPorts lists which nodes the inventory calls locked.
func (a *adapters) lockedPorts() string {
	a.t.Helper()
	ports, err := a.inv.Ports()
	if err != nil {
		a.t.Fatal(err)
	}
	var out []string
	for _, p := range ports {
		if strings.HasPrefix(p.Problem, "it is locked by bench") && p.Mend != "" {
			out = append(out, filepath.Base(p.Path))
		}
	}
	return strings.Join(out, " ")
}

// Cheap adapters all have one serial number: what is plugged in later must not
// change how the first one is locked.
func TestATwinOfTheSerialNumberDoesNotFreeADevice(t *testing.T) {
	for _, selector := range []string{"usb:0403:6001:0001", "usb:0403:6001", "usb:@1-1", "usb:0403:6001:0001@1-1/0"} {
		t.Run(selector, func(t *testing.T) {
			a, cfg := lockedAdapters(t)
			a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB0", "0001", "1-1")
			open(t, at(cfg, selector))
			a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB1", "0001", "1-2")
			for _, other := range []string{a.tree.Node("ttyUSB0"), "usb:@1-1", "usb:0403:6001@1-1", "usb:0403:6001:0001@1-1/0"} {
				refused(t, at(cfg, other))
			}
			if got := a.lockedPorts(); got != "ttyUSB0" {
				t.Errorf("the inventory calls %q locked", got)
			}
			free(t, at(cfg, "usb:@1-2"))
			if err := a.tree.Unplug("ttyUSB1"); err != nil {
				t.Fatal(err)
			}
			refused(t, at(cfg, "usb:0403:6001:0001"))
		})
	}
}

func TestADeviceOpenedBesideItsTwinIsHeldWhenTheTwinHasGone(t *testing.T) {
	a, cfg := lockedAdapters(t)
	a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB0", "0001", "1-1")
	a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB1", "0001", "1-2")
	open(t, at(cfg, "usb:@1-1"))
	if err := a.tree.Unplug("ttyUSB1"); err != nil {
		t.Fatal(err)
	}
	refused(t, at(cfg, "usb:0403:6001:0001"))
	refused(t, at(cfg, a.tree.Node("ttyUSB0")))
}

func TestThePortsOfOneAdapterAreLockedEach(t *testing.T) {
	a, cfg := lockedAdapters(t)
	quad := func(node string, unit int) {
		a.plugAs(newTwin(t, ptytwin.Options{}), usbtree.Device{Node: node, VID: "0403", PID: "6011", Serial: "QUAD", Place: "1-3", Interface: unit})
	}
	quad("ttyUSB0", 0)
	open(t, at(cfg, "usb:0403:6011:QUAD"))
	quad("ttyUSB1", 1) // it appears later
	refused(t, at(cfg, "usb:0403:6011:QUAD/0"))
	refused(t, at(cfg, a.tree.Node("ttyUSB0")))
	if got := a.lockedPorts(); got != "ttyUSB0" {
		t.Errorf("the inventory calls %q locked", got)
	}
	free(t, at(cfg, "usb:0403:6011:QUAD/1"))
	free(t, at(cfg, a.tree.Node("ttyUSB1")))
}

// A port of an adapter is waited for as that port, though it was the only one
// when it was opened.
func TestThePortOfAnAdapterComesBackAmongOthers(t *testing.T) {
	a, cfg := lockedAdapters(t)
	first, second := newTwin(t, ptytwin.Options{Unpaced: true}), newTwin(t, ptytwin.Options{Unpaced: true})
	quad := usbtree.Device{VID: "0403", PID: "6011", Serial: "QUAD", Place: "1-3"}
	zero, one := quad, quad
	zero.Node, one.Node, one.Interface = "ttyUSB0", "ttyUSB1", 1
	a.plugAs(first, zero)
	l := open(t, at(cfg, "usb:0403:6011:QUAD"))
	a.unplug(first, "ttyUSB0")
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	a.plugAs(second, one)
	replug(t, first)
	a.plugAs(first, zero)
	devicetest.Eventually(t, "the replug", func() bool { return l.Stats().Replugs == 1 })
	send(t, first, heading(1))
	if s := read(t, l); !strings.HasPrefix(string(s.Raw), "$GPHDT,1.0") {
		t.Errorf("read %q", s.Raw)
	}
}

func TestADeviceThatMovesTakesItsLockAlong(t *testing.T) {
	a, cfg := lockedAdapters(t)
	mine, other := newTwin(t, ptytwin.Options{}), newTwin(t, ptytwin.Options{})
	a.plug(mine, "ttyUSB0", "SN-A", "1-1")
	l := open(t, at(cfg, "usb:0403:6001:SN-A"))
	a.unplug(mine, "ttyUSB0")
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	a.plug(other, "ttyUSB0", "SN-B", "1-1") // its socket is free while it is away
	devicetest.Eventually(t, "the socket to be free", func() bool { return a.lockedPorts() == "" })
	free(t, at(cfg, a.tree.Node("ttyUSB0")))
	replug(t, mine)
	a.plug(mine, "ttyUSB1", "SN-A", "1-2")
	devicetest.Eventually(t, "the replug", func() bool { return l.Stats().Replugs == 1 })
	a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB2", "SN-A", "1-3")
	refused(t, at(cfg, "usb:@1-2")) // though its serial number is not its own any more
	free(t, at(cfg, "usb:@1-1"))
}

// Two devices whose sockets are swapped must not wait for each other's locks.
func TestLockedDevicesSwapTheirSockets(t *testing.T) {
	for _, by := range []string{"identity", "place"} {
		t.Run(by, func(t *testing.T) {
			a, cfg := lockedAdapters(t)
			ports := []string{"usb:0403:6001:SN-A", "usb:0403:6001:SN-B"}
			if by == "place" {
				ports = []string{"usb:@1-1", "usb:@1-2"}
			}
			first, second := newTwin(t, ptytwin.Options{Unpaced: true}), newTwin(t, ptytwin.Options{Unpaced: true})
			a.plug(first, "ttyUSB0", "SN-A", "1-1")
			a.plug(second, "ttyUSB1", "SN-B", "1-2")
			lines := []*serialline.Line{open(t, at(cfg, ports[0])), open(t, at(cfg, ports[1]))}
			for round := range 3 {
				places := []string{"1-2", "1-1"}
				if round%2 == 1 {
					places = []string{"1-1", "1-2"}
				}
				a.unplug(first, "ttyUSB0")
				replug(t, first)
				a.unplug(second, "ttyUSB1")
				replug(t, second)
				a.plug(first, "ttyUSB0", "SN-A", places[0])
				a.plug(second, "ttyUSB1", "SN-B", places[1])
				for i, l := range lines {
					devicetest.Eventually(t, fmt.Sprintf("line %d to be back in round %d", i, round), func() bool { return l.Stats().Replugs == uint64(round+1) })
				}
				if got := a.lockedPorts(); got != "ttyUSB0 ttyUSB1" {
					t.Errorf("round %d: the inventory calls %q locked", round, got)
				}
			}
		})
	}
}

func TestAReplugIntoAPlaceThatIsHeldWaits(t *testing.T) {
	a, cfg := lockedAdapters(t)
	twin := newTwin(t, ptytwin.Options{})
	a.plug(twin, "ttyUSB0", "SN-A", "1-1")
	l := open(t, at(cfg, "usb:0403:6001:SN-A"))
	a.unplug(twin, "ttyUSB0")
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	other, err := a.inv.Locks.Acquire(t.Context(), "usb:@1-2/0", "another", "")
	if err != nil {
		t.Fatal(err)
	}
	replug(t, twin)
	a.plug(twin, "ttyUSB1", "SN-A", "1-2")
	devicetest.Eventually(t, "the place before to be given back", func() bool {
		states, err := a.inv.Locks.List(t.Context())
		return err == nil && len(states) == 2 // its identity, and what another holds
	})
	if l.Stats().Replugs != 0 {
		t.Error("it was opened though another holds its place")
	}
	if err := other.Release(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the replug", func() bool { return l.Stats().Replugs == 1 })
}

package serialline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
	"plumbline/devices/usbtree"
)

// adapters is a bench of pty twins behind USB adapters.
type adapters struct {
	t    *testing.T
	tree *usbtree.Tree
	inv  inventory.Inventory
}

func newAdapters(t *testing.T) *adapters {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no pseudo terminals on this system")
	}
	root := t.TempDir()
	tree, err := usbtree.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return &adapters{t: t, tree: tree, inv: inventory.Inventory{Root: root}}
}

// plug puts a twin behind an FTDI adapter.
func (a *adapters) plug(twin *ptytwin.Twin, node, serial, place string) {
	a.t.Helper()
	a.plugAs(twin, usbtree.Device{Node: node, VID: "0403", PID: "6001", Serial: serial, Product: "FT232R", Place: place})
}

func (a *adapters) plugAs(twin *ptytwin.Twin, d usbtree.Device) {
	a.t.Helper()
	target, err := filepath.EvalSymlinks(twin.Path())
	if err != nil {
		a.t.Fatal(err)
	}
	d.Target = target
	if err := a.tree.Plug(d); err != nil {
		a.t.Fatal(err)
	}
}

// unplug pulls the adapter out: its node goes and its pty hangs up.
func (a *adapters) unplug(twin *ptytwin.Twin, node string) {
	a.t.Helper()
	if err := errors.Join(a.tree.Unplug(node), twin.Unplug()); err != nil {
		a.t.Fatal(err)
	}
}

func replug(t *testing.T, twin *ptytwin.Twin) {
	t.Helper()
	if err := twin.Replug(); err != nil {
		t.Fatal(err)
	}
}

func TestNamesSwapAndTheDeviceIsKept(t *testing.T) {
	a := newAdapters(t)
	first, second := newTwin(t, ptytwin.Options{Unpaced: true}), newTwin(t, ptytwin.Options{Unpaced: true})
	a.plug(first, "ttyUSB0", "SN-A", "1-1")
	a.plug(second, "ttyUSB1", "SN-B", "1-2")
	byIdentity := open(t, serialline.Config{ID: "a", Port: "usb:0403:6001:SN-A", Inventory: a.inv, RetryEvery: time.Millisecond})
	byPath := open(t, serialline.Config{ID: "b", Port: a.tree.Node("ttyUSB1"), Inventory: a.inv, RetryEvery: time.Millisecond})
	for round := range 3 {
		names := []string{"ttyUSB0", "ttyUSB1"}
		if round%2 == 1 {
			names = []string{"ttyUSB1", "ttyUSB0"}
		}
		send(t, first, heading(100+round))
		send(t, second, heading(200+round))
		if s := read(t, byIdentity); !strings.HasPrefix(string(s.Raw), "$GPHDT,10") {
			t.Fatalf("round %d: the line by serial number read %q", round, s.Raw)
		}
		if s := read(t, byPath); !strings.HasPrefix(string(s.Raw), "$GPHDT,20") {
			t.Fatalf("round %d: the line opened by its path read %q", round, s.Raw)
		}
		a.unplug(first, names[0])
		a.unplug(second, names[1])
		devicetest.Eventually(t, "both to be lost", func() bool {
			return byIdentity.Stats().Unplugs == uint64(round+1) && byPath.Stats().Unplugs == uint64(round+1)
		})
		replug(t, second)
		replug(t, first)
		a.plug(second, names[0], "SN-B", "1-2")
		a.plug(first, names[1], "SN-A", "1-1")
		devicetest.Eventually(t, "both to be back", func() bool {
			return byIdentity.Stats().Replugs == uint64(round+1) && byPath.Stats().Replugs == uint64(round+1)
		})
	}
	if info := byIdentity.Info(); info.Serial != "SN-A" || info.Model != "FT232R" || info.Path != "usb:0403:6001:SN-A" {
		t.Errorf("device is %+v", info)
	}
}

func TestAnotherDeviceUnderTheNameIsNotTaken(t *testing.T) {
	for _, c := range []struct {
		name, port string
		other      usbtree.Device
	}{
		{"opened by path", "ttyUSB0", usbtree.Device{VID: "0403", PID: "6001", Serial: "SN-B", Place: "1-1"}},
		{"opened by place", "usb:@1-1", usbtree.Device{VID: "1a86", PID: "7523", Place: "1-1"}},
		{"opened by kind", "usb:0403:6001", usbtree.Device{VID: "0403", PID: "6001", Serial: "SN-B", Place: "1-3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAdapters(t)
			mine, stranger := newTwin(t, ptytwin.Options{Unpaced: true}), newTwin(t, ptytwin.Options{Unpaced: true})
			a.plug(mine, "ttyUSB0", "SN-A", "1-1")
			port := c.port
			if strings.HasPrefix(port, "tty") {
				port = a.tree.Node(port)
			}
			var away atomic.Int64
			l := open(t, serialline.Config{Port: port, Inventory: a.inv, RetryEvery: time.Millisecond, OnAway: func(_ time.Duration, why error) {
				if errors.Is(why, inventory.ErrAbsent) || errors.Is(why, inventory.ErrOther) {
					away.Add(1)
				}
			}})
			a.unplug(mine, "ttyUSB0")
			devicetest.Eventually(t, "the driver to see the unplug", func() bool { return l.Stats().Unplugs == 1 })
			c.other.Node = "ttyUSB0"
			a.plugAs(stranger, c.other)
			devicetest.Eventually(t, "the driver to say why", func() bool { return away.Load() > 0 })
			send(t, stranger, heading(1))
			place := "1-1"
			if c.other.Place == place {
				place = "1-2"
			}
			if strings.Contains(c.port, "@") { // a place is a place: the stranger has to go first
				if err := a.tree.Unplug("ttyUSB0"); err != nil {
					t.Fatal(err)
				}
				place = "1-1"
			}
			replug(t, mine)
			a.plug(mine, "ttyUSB7", "SN-A", place)
			devicetest.Eventually(t, "the device to be back", func() bool { return l.Stats().Replugs == 1 })
			send(t, mine, heading(2))
			if s := read(t, l); !strings.HasPrefix(string(s.Raw), "$GPHDT,2.0") {
				t.Errorf("read %q: that is the stranger's line", s.Raw)
			}
			if n := l.Counters(); n.Good != 1 || n.Rejected() != 0 {
				t.Errorf("%+v, want the one line", n)
			}
		})
	}
}

func TestSelectorsThatNameNoPort(t *testing.T) {
	a := newAdapters(t)
	a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB0", "SAME", "1-1")
	a.plug(newTwin(t, ptytwin.Options{}), "ttyUSB1", "SAME", "1-2")
	for port, want := range map[string]error{
		"usb:0403:6001:SAME": inventory.ErrAmbiguous, "usb:0403:6001:SN-X": inventory.ErrAbsent, "usb:10c4:ea60@1-1": inventory.ErrOther, "usb:0403": inventory.ErrSelector,
	} {
		l, err := serialline.Open(t.Context(), serialline.Config{Port: port, Inventory: a.inv, Codec: nmea})
		if err == nil {
			_ = l.Close()
		}
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "serialline: ") {
			t.Errorf("%s: %v, want %v", port, err, want)
		}
	}
}

// TestRealSystemFindsTheDevice opens a port by its serial number with nothing
// injected: sysfs and /dev are those of the process.
func TestRealSystemFindsTheDevice(t *testing.T) {
	devicetest.InNamespace(t, func(t *testing.T, tree *usbtree.Tree) {
		t.Helper()
		a := &adapters{t: t, tree: tree}
		twin := newTwin(t, ptytwin.Options{Unpaced: true})
		a.plug(twin, "ttyUSB3", "SN-A", "1-1")
		l := open(t, serialline.Config{Port: "usb:0403:6001:SN-A", RetryEvery: time.Millisecond})
		send(t, twin, heading(1))
		read(t, l)
		a.unplug(twin, "ttyUSB3")
		devicetest.Eventually(t, "the driver to see the unplug", func() bool { return l.Stats().Unplugs == 1 })
		replug(t, twin)
		a.plug(twin, "ttyUSB4", "SN-A", "1-7")
		devicetest.Eventually(t, "the device to be back", func() bool { return l.Stats().Replugs == 1 })
		send(t, twin, heading(2))
		read(t, l)
		if _, err := os.Stat("/dev/ttyUSB3"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old node: %v", err)
		}
	})
}

func TestADeviceIsLockedFromOpenToClose(t *testing.T) {
	a := newAdapters(t)
	locks := lock.Dir{Path: t.TempDir()}
	a.inv.Locks = &locks
	twin := newTwin(t, ptytwin.Options{})
	a.plug(twin, "ttyUSB0", "SN-A", "1-1")
	cfg := serialline.Config{Port: "usb:0403:6001:SN-A", Inventory: a.inv, Codec: nmea, Locks: &locks, Owner: "bench", Purpose: "run 7", RetryEvery: time.Millisecond}
	l := open(t, cfg)
	byName := cfg
	byName.Port = a.tree.Node("ttyUSB0")
	if second, err := serialline.Open(t.Context(), byName); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), `"run 7"`) {
		if err == nil {
			_ = second.Close()
		}
		t.Errorf("second: %v, want ErrHeld and the purpose", err)
	}
	if ports, err := a.inv.Ports(); err != nil || len(ports) != 1 || !strings.HasPrefix(ports[0].Problem, "it is locked by bench") || ports[0].Mend == "" {
		t.Errorf("the inventory says %+v, %v", ports, err)
	}
	a.unplug(twin, "ttyUSB0") // it stays ours while it is away
	devicetest.Eventually(t, "the unplug", func() bool { return l.Stats().Unplugs == 1 })
	replug(t, twin)
	a.plug(twin, "ttyUSB1", "SN-A", "1-1")
	devicetest.Eventually(t, "the replug", func() bool { return l.Stats().Replugs == 1 })
	if _, err := serialline.Open(t.Context(), cfg); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("after a replug: %v, want ErrHeld", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	// What fails to open gives its lock back.
	absent := cfg
	absent.Port, absent.Inventory = filepath.Join(t.TempDir(), "ttyNONE"), inventory.Inventory{}
	for range 2 {
		if _, err := serialline.Open(t.Context(), absent); err == nil || errors.Is(err, lock.ErrHeld) {
			t.Errorf("absent port: %v", err)
		}
	}
}

func TestALostLockEndsTheLine(t *testing.T) {
	dir := t.TempDir()
	twin := newTwin(t, ptytwin.Options{})
	l := open(t, serialline.Config{Port: twin.Path(), Locks: &lock.Dir{Path: dir, TTL: 30 * time.Millisecond}})
	late := lock.Dir{Path: dir, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	states, err := late.List(t.Context())
	if err != nil || len(states) != 1 || states[0].Status != lock.Expired {
		t.Fatalf("locks are %+v, %v", states, err)
	}
	other, err := late.Acquire(t.Context(), states[0].Claim.Name, "other", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Release() }()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if _, err := l.Read(ctx); !errors.Is(err, serialline.ErrLockLost) {
		t.Errorf("read: %v, want ErrLockLost", err)
	}
}

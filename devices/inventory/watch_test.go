package inventory_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/inventory"
	"plumbline/devices/usbtree"
)

// watch returns what Watch tells; the test ends it.
func watch(t *testing.T, inv inventory.Inventory) <-chan inventory.Event {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	events, ended := make(chan inventory.Event, 64), make(chan error, 1)
	go func() { ended <- inv.Watch(ctx, func(e inventory.Event) { events <- e }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return events
}

func next(t *testing.T, events <-chan inventory.Event) inventory.Event {
	t.Helper()
	timer := time.NewTimer(devicetest.Patience)
	defer timer.Stop()
	select {
	case e := <-events:
		return e
	case <-timer.C:
		t.Fatalf("waited %v for an event", devicetest.Patience)
	}
	return inventory.Event{}
}

// begin plugs a device in, again and again until the watch, which may not have
// begun before, tells it. In between the device stays away for long enough to be
// missed: a watch that begins while it is there knows it and would tell nothing.
func begin(t *testing.T, usb *usbtree.Tree, events <-chan inventory.Event) {
	t.Helper()
	for range 50 {
		plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"))
		if told(t, events, inventory.Plugged, 200*time.Millisecond) {
			return
		}
		if err := usb.Unplug("ttyUSB0"); err != nil {
			t.Fatal(err)
		}
		told(t, events, inventory.Unplugged, 200*time.Millisecond)
	}
	t.Fatal("no event for a device plugged in fifty times")
}

// told waits for a change of the first device.
func told(t *testing.T, events <-chan inventory.Event, want inventory.Change, patience time.Duration) bool {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e := <-events:
			if e.Port.Select != "usb:0403:6001:SN-A" {
				t.Fatalf("event is %+v", e)
			}
			if e.Change == want { // another one is of the try before
				return true
			}
		case <-timer.C:
			return false
		}
	}
}

func TestWatchTellsWhatIsPluggedInAndOut(t *testing.T) {
	usb, inv, _ := tree(t)
	plug(t, usb, ftdi("ttyUSB9", "THERE", "1-9"))
	events := watch(t, inv)
	begin(t, usb, events)
	if err := usb.Unplug("ttyUSB0"); err != nil {
		t.Fatal(err)
	}
	plug(t, usb, ftdi("ttyUSB0", "SN-B", "1-2")) // another under the same name
	gone := false
	for here := false; !here; {
		e := next(t, events)
		gone = gone || e.Change == inventory.Unplugged && e.Port.Serial == "SN-A"
		here = e.Change == inventory.Plugged && e.Port.Serial == "SN-B"
		if runtime.GOOS == "linux" && e.Via != "inotify" && e.Via != "poll" {
			t.Errorf("told via %q", e.Via)
		}
	}
	if !gone {
		t.Error("the first device was not told to have gone before the second came")
	}
}

func TestWatchNeedsSysfs(t *testing.T) {
	if err := (inventory.Inventory{Root: t.TempDir()}).Watch(t.Context(), func(inventory.Event) {}); err == nil {
		t.Error("no sysfs, and no error")
	}
}

// TestHintsComeFromTheDeviceFolder: a node that appears is told at once, not at
// the next poll.
func TestHintsComeFromTheDeviceFolder(t *testing.T) {
	needInotify(t)
	_, inv, root := tree(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hints := inv.Hints(ctx) // the watch is set before it returns
	put(t, filepath.Join(root, "dev/ttyUSB0"), "")
	timer := time.NewTimer(devicetest.Patience)
	defer timer.Stop()
	select {
	case via := <-hints:
		if via != "inotify" {
			t.Errorf("hint via %q", via)
		}
	case <-timer.C:
		t.Fatal("no hint")
	}
	stop()
	for range hints { // closed once its goroutines have ended
		continue
	}
}

// TestRealKernelTellsUevents asks the kernel to say again that a terminal is
// there, as it does when one is plugged in.
func TestRealKernelTellsUevents(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root of a Linux can ask for a uevent")
	}
	needUevents(t)
	ctx, stop := context.WithCancel(t.Context())
	hints := inventory.Inventory{}.Hints(ctx)
	defer func() {
		stop()
		for range hints {
			continue
		}
	}()
	if err := os.WriteFile("/sys/class/tty/tty0/uevent", []byte("change"), 0o600); err != nil {
		t.Skipf("this kernel takes no request for a uevent: %v", err)
	}
	timer := time.NewTimer(devicetest.Patience)
	defer timer.Stop()
	for {
		select {
		case via := <-hints:
			if via == "uevent" {
				return
			}
		case <-timer.C:
			t.Fatal("the kernel told nothing")
		}
	}
}

// TestWatchInANamespace sees pty twins come and go behind USB adapters under
// the real /dev, where there are no uevents.
func TestWatchInANamespace(t *testing.T) {
	devicetest.InNamespace(t, func(t *testing.T, usb *usbtree.Tree) {
		t.Helper()
		a := ftdi("ttyUSB0", "SN-A", "1-1")
		a.Target = target(t, twin(t))
		needInotify(t)
		ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
		defer cancel()
		hints := inventory.Inventory{}.Hints(ctx)
		plug(t, usb, a)
		for via := range hints { // another program may make the kernel tell of another terminal
			if via == "inotify" {
				return
			}
		}
		t.Errorf("no hint of inotify in %v", devicetest.Patience)
	})
}

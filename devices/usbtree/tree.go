package usbtree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Device is one serial adapter.
type Device struct {
	Node         string // name of the port, for example ttyUSB0; begins with ttyACM for a modem of the CDC class
	Target       string // what the port leads to: the path of a pty
	VID, PID     string // four hexadecimal digits
	Serial       string // "" = the adapter has none
	Manufacturer string
	Product      string
	Place        string // bus and sockets, for example 1-1.4
	Interface    int    // number of the interface
	Driver       string // "" = ftdi_sio, for a ttyACM cdc_acm
}

// Tree is a set of adapters under a root. All methods may be called by any
// goroutine.
type Tree struct {
	root string

	mu    sync.Mutex
	ports map[string]Device // by node; owned by mu
}

// New makes an empty tree below root: sys/class/tty, dev and proc appear there.
func New(root string) (*Tree, error) {
	for _, dir := range []string{"sys/class/tty", "dev", "proc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { //nolint:gosec // as sysfs shows itself to everybody
			return nil, fmt.Errorf("usbtree: %w", err)
		}
	}
	return &Tree{root: root, ports: map[string]Device{}}, nil
}

// Node returns the path of a port.
func (t *Tree) Node(name string) string { return filepath.Join(t.root, "dev", name) }

// devices is where the adapters themselves, their buses and drivers lie. It is inside the class folder,
// which is a file system of its own in a namespace.
func (t *Tree) devices() string { return filepath.Join(t.root, "sys/class/tty/.devices") }

// Plug makes an adapter appear. A second port of the same adapter is plugged in
// with the same Place and another Interface.
func (t *Tree) Plug(d Device) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, is := t.ports[d.Node]; is || d.Node == "" || d.Place == "" || strings.ContainsAny(d.Node+d.Place, "/") {
		return fmt.Errorf("usbtree: plug %q at %q: the node must be new, and both must be names", d.Node, d.Place)
	}
	usb := filepath.Join(t.devices(), d.Place)
	iface := filepath.Join(usb, fmt.Sprintf("%s:1.%d", d.Place, d.Interface))
	device, subsystem, driver := filepath.Join(iface, d.Node), "usb-serial", d.Driver
	if strings.HasPrefix(d.Node, "ttyACM") {
		device, subsystem = iface, "usb"
	}
	switch {
	case driver == "" && subsystem == "usb":
		driver = "cdc_acm"
	case driver == "":
		driver = "ftdi_sio"
	}
	files := map[string]string{
		filepath.Join(usb, "idVendor"): d.VID, filepath.Join(usb, "idProduct"): d.PID, filepath.Join(usb, "serial"): d.Serial,
		filepath.Join(usb, "manufacturer"): d.Manufacturer, filepath.Join(usb, "product"): d.Product,
		filepath.Join(iface, "bInterfaceNumber"): fmt.Sprintf("%02x", d.Interface),
	}
	class := filepath.Join(t.root, "sys/class/tty", d.Node)
	bus := filepath.Join(t.devices(), "bus", subsystem)
	links := [][2]string{
		{bus, filepath.Join(device, "subsystem")}, {filepath.Join(bus, "drivers", driver), filepath.Join(device, "driver")},
		{device, filepath.Join(class, "device")}, {d.Target, t.Node(d.Node)},
	}
	if err := os.MkdirAll(filepath.Join(bus, "drivers", driver), 0o755); err != nil { //nolint:gosec // as sysfs
		return fmt.Errorf("usbtree: plug %q: %w", d.Node, err)
	}
	if err := write(files, links); err != nil {
		return fmt.Errorf("usbtree: plug %q: %w", d.Node, err)
	}
	t.ports[d.Node] = d
	return nil
}

// write makes the files that say something and the links.
func write(files map[string]string, links [][2]string) error {
	for name, text := range files {
		if text == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // as sysfs
			return err
		}
		if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil { //nolint:gosec // as sysfs
			return err
		}
	}
	for _, l := range links {
		if err := os.MkdirAll(filepath.Dir(l[1]), 0o755); err != nil { //nolint:gosec // as sysfs
			return err
		}
		if err := os.Symlink(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// Unplug makes a port disappear, and its adapter with its last port. The pty
// behind it lives on: whoever has it open sees the end when it is closed.
func (t *Tree) Unplug(node string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, is := t.ports[node]
	if !is {
		return fmt.Errorf("usbtree: unplug %q: it is not plugged in", node)
	}
	delete(t.ports, node)
	err := errors.Join(os.Remove(t.Node(node)), os.RemoveAll(filepath.Join(t.root, "sys/class/tty", node)))
	for _, other := range t.ports {
		if other.Place == d.Place {
			return errors.Join(err, os.RemoveAll(filepath.Join(t.devices(), d.Place, fmt.Sprintf("%s:1.%d", d.Place, d.Interface))))
		}
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(t.devices(), d.Place)))
}

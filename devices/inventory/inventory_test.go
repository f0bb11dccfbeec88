package inventory_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/ptytwin"
	"plumbline/devices/usbtree"
)

// tree makes a root in which adapters can be plugged in.
func tree(t *testing.T) (*usbtree.Tree, inventory.Inventory, string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("sysfs is made of links")
	}
	root := t.TempDir()
	made, err := usbtree.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return made, inventory.Inventory{Root: root}, root
}

func plug(t *testing.T, to *usbtree.Tree, devices ...usbtree.Device) {
	t.Helper()
	for _, d := range devices {
		if d.Target == "" {
			d.Target = os.DevNull
		}
		if err := to.Plug(d); err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ftdi(node, serial, place string) usbtree.Device {
	return usbtree.Device{Node: node, VID: "0403", PID: "6001", Serial: serial, Manufacturer: "FTDI", Product: "FT232R USB UART", Place: place}
}

func byPath(ports []inventory.Port) map[string]inventory.Port {
	out := map[string]inventory.Port{}
	for _, p := range ports {
		out[filepath.Base(p.Path)] = p
	}
	return out
}

func TestPortsTellWhatSysfsTells(t *testing.T) {
	usb, inv, root := tree(t)
	plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"), ftdi("ttyUSB1", "SN-B", "1-1.4"),
		usbtree.Device{Node: "ttyUSB2", VID: "1A86", PID: "7523", Product: "USB Serial", Place: "2-1", Driver: "ch341-uart"},
		usbtree.Device{Node: "ttyACM0", VID: "2341", PID: "0043", Serial: "7543931323135171C1A0", Place: "1-2", Manufacturer: "Arduino"},
		usbtree.Device{Node: "ttyUSB3", VID: "0403", PID: "6011", Serial: "QUAD", Place: "1-3", Interface: 0},
		usbtree.Device{Node: "ttyUSB4", VID: "0403", PID: "6011", Serial: "QUAD", Place: "1-3", Interface: 3})
	for i, kind := range []string{"4", "0"} { // a port of the board, and a place without hardware
		put(t, filepath.Join(root, fmt.Sprintf("sys/class/tty/ttyS%d/type", i)), kind+"\n")
		put(t, filepath.Join(root, fmt.Sprintf("sys/devices/pnp0/%d/x", i)), "")
		put(t, filepath.Join(root, fmt.Sprintf("dev/ttyS%d", i)), "")
		if err := os.Symlink(filepath.Join(root, fmt.Sprintf("sys/devices/pnp0/%d", i)), filepath.Join(root, fmt.Sprintf("sys/class/tty/ttyS%d/device", i))); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(root, "sys/class/tty/console/dev"), "5:1\n") // no device behind it
	for link, target := range map[string]string{"0/subsystem": "bus/serial-base", "0/driver": "drivers/port", "subsystem": "bus/pnp", "driver": "drivers/serial"} {
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(root, "sys/devices/pnp0", link)); err != nil {
			t.Fatal(err)
		}
	}
	ports, err := inv.Ports()
	if err != nil {
		t.Fatal(err)
	}
	found := byPath(ports)
	want := map[string]string{
		"ttyUSB0": "usb:0403:6001:SN-A 1-1 ftdi_sio", "ttyUSB1": "usb:0403:6001:SN-B 1-1.4 ftdi_sio",
		"ttyUSB2": "usb:1a86:7523@2-1 2-1 ch341-uart", "ttyACM0": "usb:2341:0043:7543931323135171C1A0 1-2 cdc_acm",
		"ttyUSB3": "usb:0403:6011:QUAD/0 1-3 ftdi_sio", "ttyUSB4": "usb:0403:6011:QUAD/3 1-3 ftdi_sio",
		"ttyS0": filepath.Join(root, "dev/ttyS0") + "  serial",
	}
	for name, text := range want {
		p, is := found[name]
		if got := p.Select + " " + p.USBPath + " " + p.Driver; !is || got != text || p.Problem != "" {
			t.Errorf("%s is %q (problem %q), want %q", name, got, p.Problem, text)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d ports, want %d: %+v", len(found), len(want), ports)
	}
	if p := found["ttyUSB0"]; p.Manufacturer != "FTDI" || p.Product != "FT232R USB UART" || p.Title() != "FTDI FT232R USB UART 0403:6001 SN-A" {
		t.Errorf("adapter is %+v, called %q", p, p.Title())
	}
	if err := usb.Unplug("ttyUSB3"); err != nil {
		t.Fatal(err)
	}
	if ports, err = inv.Scan(); err != nil || byPath(ports)["ttyUSB4"].Select != "usb:0403:6011:QUAD" || len(ports) != len(want)-1 {
		t.Errorf("after an unplug: %+v, %v", ports, err)
	}
}

func TestTextsOfADeviceAreTamed(t *testing.T) {
	usb, inv, root := tree(t)
	evil := ftdi("ttyUSB0", "A1\x1b[2J\n- id: x", "1-1")
	evil.VID = "04`id`"
	plug(t, usb, evil)
	put(t, filepath.Join(root, "sys/class/tty/.devices/1-1/product"), strings.Repeat("x", 100_000))
	ports, err := inv.Scan()
	if err != nil || len(ports) != 1 {
		t.Fatalf("%+v, %v", ports, err)
	}
	p := ports[0]
	if p.VID != "" || strings.ContainsAny(p.Serial, "\x1b\n") || len(p.Product) > 1024 || p.Select != p.Path {
		t.Errorf("port is %+v", p)
	}
}

func TestNodeThatHasGone(t *testing.T) {
	usb, inv, root := tree(t)
	plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"))
	if err := os.Remove(filepath.Join(root, "dev/ttyUSB0")); err != nil {
		t.Fatal(err)
	}
	ports, err := inv.Ports()
	if err != nil || len(ports) != 1 || ports[0].Problem != "it has gone" || ports[0].Mend == "" {
		t.Errorf("%+v, %v", ports, err)
	}
}

func TestNoSysfs(t *testing.T) {
	if _, err := (inventory.Inventory{Root: t.TempDir()}).Ports(); err == nil || !strings.Contains(err.Error(), "mount sysfs") {
		t.Errorf("error is %v", err)
	}
}

func TestHoldersAreNamed(t *testing.T) {
	usb, inv, root := tree(t)
	plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"), ftdi("ttyUSB1", "SN-B", "1-2"))
	put(t, filepath.Join(root, "proc/17/comm"), "minicom\n")
	put(t, filepath.Join(root, "proc/18/comm"), "bash\n") // no descriptors: it is ending
	put(t, filepath.Join(root, "proc/self/comm"), "no process\n")
	for fd, target := range map[string]string{"0": "/dev/null-not", "3": filepath.Join(root, "dev/ttyUSB1"), "4": filepath.Join(root, "dev/ttyUSB1")} {
		link := filepath.Join(root, "proc/17/fd", fd)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	ports, err := inv.Ports()
	if err != nil {
		t.Fatal(err)
	}
	found := byPath(ports)
	if p := found["ttyUSB1"]; !slices.Equal(p.Holders, []inventory.Holder{{PID: 17, Name: "minicom"}}) || p.Problem != "it is held by minicom (process 17)" || p.Mend != "end it: kill 17" {
		t.Errorf("held port is %+v", p)
	}
	if p := found["ttyUSB0"]; p.Problem != "" || len(p.Holders) != 0 {
		t.Errorf("free port is %+v", p)
	}
}

// Every user may write what a lock says: the process that is to be ended is not taken
// from there.
func TestTheHolderOfALockIsNotBelieved(t *testing.T) {
	usb, inv, _ := tree(t)
	plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"))
	ports, err := inv.Scan()
	if err != nil || len(ports) != 1 {
		t.Fatal(ports, err)
	}
	name := ports[0].PlaceKey()
	inv.Locks = &lock.Dir{Path: t.TempDir(), TTL: time.Hour}
	l, err := inv.Locks.Acquire(t.Context(), name, "mallory", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Release() }()
	states, err := inv.Locks.List(t.Context())
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	put(t, states[0].Path, fmt.Sprintf(`{"name":%q,"owner":"mallory","pid":1,"expires":"2999-01-01T00:00:00Z"}`, name))
	ports, err = inv.Ports()
	if err != nil || len(ports) != 1 || !strings.Contains(ports[0].Problem, "by mallory (process 1 ") || ports[0].Mend != "wait for it, or end it: "+states[0].End() {
		t.Errorf("%+v, %v", ports, err)
	}
}

// asNobody tells a copy of the test binary which root to look at without rights.
const asNobody = "PLUMBLINE_TEST_NOBODY"

func TestWithoutPermission(t *testing.T) {
	if root := os.Getenv(asNobody); root != "" {
		lookWithoutRights(t, root)
		return
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root can become a user without rights")
	}
	if _, err := user.LookupGroupId("1"); err != nil {
		t.Skipf("group 1 has no name here: %v", err)
	}
	root, err := os.MkdirTemp("", "plumbline-nobody-") //nolint:usetesting // nobody cannot enter a folder below t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	usb, err := usbtree.New(root)
	if err != nil {
		t.Fatal(err)
	}
	for node, group := range map[string]int{"ttyUSB0": 1, "ttyUSB1": 0} { // group 1 is daemon nearly everywhere
		file := filepath.Join(root, "pty-"+node)
		put(t, file, "")
		if err := errors.Join(os.Chown(file, 0, group), os.Chmod(file, 0o660)); refusedByHost(err) {
			t.Skipf("this container may give no file to another group: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		d := ftdi(node, node, "1-"+node[len(node)-1:])
		d.Target = file
		plug(t, usb, d)
	}
	put(t, filepath.Join(root, "proc/17/comm"), "ser2net\n")
	binary := filepath.Join(root, "test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	put(t, binary, string(self))
	if err := errors.Join(os.Chmod(filepath.Join(root, "proc/17/comm"), 0o644), os.Mkdir(filepath.Join(root, "proc/17/fd"), 0o700),
		os.Chmod(binary, 0o755), os.Chmod(root, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestWithoutPermission$", "-test.v")
	cmd.Env = append(os.Environ(), asNobody+"="+root)
	cmd.Dir = root
	cmd.SysProcAttr = credential(65534)
	out, err := cmd.CombinedOutput()
	if refusedByHost(err) {
		t.Skipf("this container may run no program of %s as another user: %v", root, err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
}

// refusedByHost reports whether a container lacks the right: one with few
// capabilities, with a single user, or whose temporary files are not to be run.
func refusedByHost(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EACCES)
}

func lookWithoutRights(t *testing.T, root string) {
	t.Helper()
	ports, err := inventory.Inventory{Root: root}.Ports()
	if err != nil || len(ports) != 2 {
		t.Fatalf("%+v, %v", ports, err)
	}
	if p := ports[0]; !strings.HasPrefix(p.Problem, "no permission: it belongs to the group ") || !strings.Contains(p.Mend, "usermod -aG ") {
		t.Errorf("port of a group: %+v", p)
	}
	if p := ports[1]; p.Problem != "no permission to open it" || !strings.Contains(p.Mend, `ATTRS{idVendor}=="0403"`) || !strings.Contains(p.Mend, "udevadm trigger") {
		t.Errorf("port of root alone: %+v", p)
	}
	if p := ports[0]; !strings.Contains(p.Unseen, "1 processes of other users could not be looked into (ser2net)") {
		t.Errorf("what was not seen: %q", p.Unseen)
	}
}

func twin(t *testing.T) *ptytwin.Twin {
	t.Helper()
	made, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func target(t *testing.T, twin *ptytwin.Twin) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(twin.Path())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

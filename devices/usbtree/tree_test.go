package usbtree_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"plumbline/devices/usbtree"
)

// TestAMistakeIsNoMissingPermission: tests that cannot have a namespace are skipped,
// so wrong flags of ours must not look like that.
func TestAMistakeIsNoMissingPermission(t *testing.T) {
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		t.Skip("no user namespaces here")
	}
	if usbtree.IsNotAllowed(&os.PathError{Op: "fork/exec", Path: "x", Err: syscall.EINVAL}) {
		t.Error("wrong flags look like a missing permission")
	}
	if !usbtree.IsNotAllowed(&os.PathError{Op: "fork/exec", Path: "x", Err: syscall.EPERM}) || !usbtree.IsNotAllowed(fmt.Errorf("x: %w", usbtree.ErrNotAllowed)) {
		t.Error("a missing permission is none")
	}
}

func TestPlugAndUnplug(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sysfs is made of links")
	}
	root := t.TempDir()
	tree, err := usbtree.New(root)
	if err != nil {
		t.Fatal(err)
	}
	first := usbtree.Device{Node: "ttyUSB0", Target: os.DevNull, VID: "0403", PID: "6011", Serial: "QUAD", Place: "1-1"}
	second := first
	second.Node, second.Interface = "ttyUSB1", 1
	for _, d := range []usbtree.Device{first, second} {
		if err := tree.Plug(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []usbtree.Device{first, {Place: "1-2"}, {Node: "ttyUSB2"}, {Node: "../x", Place: "1-2"}, {Node: "ttyUSB2", Place: "1/2"}} {
		if err := tree.Plug(bad); err == nil || !strings.HasPrefix(err.Error(), "usbtree: ") {
			t.Errorf("plug %+v: %v", bad, err)
		}
	}
	serial := filepath.Join(root, "sys/class/tty/.devices/1-1/serial")
	if text, err := os.ReadFile(serial); err != nil || string(text) != "QUAD\n" {
		t.Errorf("serial number %q, %v", text, err)
	}
	if target, err := os.Readlink(tree.Node("ttyUSB1")); err != nil || target != os.DevNull {
		t.Errorf("node leads to %q, %v", target, err)
	}
	if err := tree.Unplug("ttyUSB0"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(serial); err != nil {
		t.Errorf("the adapter went with the first of its two ports: %v", err)
	}
	if err := tree.Unplug("ttyUSB1"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{serial, tree.Node("ttyUSB0"), filepath.Join(root, "sys/class/tty/ttyUSB0")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	if err := tree.Unplug("ttyUSB1"); err == nil {
		t.Error("unplugged twice")
	}
}

// TestEnterNeedsANamespaceOfItsOwn: in this process it would cover /dev of the
// whole machine.
func TestEnterNeedsANamespaceOfItsOwn(t *testing.T) {
	before, err := os.ReadDir("/dev")
	if err != nil {
		t.Skip(err)
	}
	if _, err := usbtree.Enter(); err == nil {
		t.Fatal("it worked")
	}
	if after, err := os.ReadDir("/dev"); err != nil || len(after) < len(before)/2 {
		t.Errorf("/dev holds %d of %d entries, %v", len(after), len(before), err)
	}
}

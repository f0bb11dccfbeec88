package inventory_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.bug.st/serial/enumerator"

	"plumbline/devices/devicetest"
	"plumbline/devices/inventory"
	"plumbline/devices/usbtree"
)

// TestRealEnumeratorAgrees compares our reading of sysfs with the library's,
// which opens and probes, on the same adapters.
func TestRealEnumeratorAgrees(t *testing.T) {
	devicetest.InNamespace(t, func(t *testing.T, usb *usbtree.Tree) {
		t.Helper()
		a, b := ftdi("ttyUSB0", "SN-A", "1-1"), ftdi("ttyUSB1", "SN-B", "1-2")
		a.Target, b.Target = target(t, twin(t)), target(t, twin(t))
		plug(t, usb, a, b, usbtree.Device{Node: "ttyACM0", VID: "2341", PID: "0043", Serial: "UNO", Product: "Uno", Place: "1-4", Target: target(t, twin(t))})
		theirs, err := enumerator.GetDetailedPortsList()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := inventory.Inventory{}.Ports()
		if err != nil {
			t.Fatal(err)
		}
		if len(ours) != 3 || len(theirs) != 3 {
			t.Fatalf("we found %+v, the library %+v", ours, theirs)
		}
		for _, their := range theirs {
			our := byPath(ours)[filepath.Base(their.Name)]
			if our.Path != their.Name || !our.USB || !strings.EqualFold(our.VID, their.VID) || !strings.EqualFold(our.PID, their.PID) ||
				our.Serial != their.SerialNumber || our.Product != their.Product || our.Manufacturer != their.Manufacturer {
				t.Errorf("we found %+v, the library %+v", our, *their)
			}
		}
		holder(t, a.Target)
		devicetest.Eventually(t, "the holder to be found", func() bool {
			ports, err := inventory.Inventory{}.Ports()
			return err == nil && len(ports[1].Holders) == 1 && ports[1].Holders[0].Name == "sleep" && strings.Contains(ports[1].Mend, "kill ")
		})
	})
}

// holder starts a program that has the port open until the test ends.
func holder(t *testing.T, port string) {
	t.Helper()
	file, err := os.OpenFile(port, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

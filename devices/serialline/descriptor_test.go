//go:build linux

package serialline

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.bug.st/serial"

	"plumbline/devices/codec"
	"plumbline/devices/ptytwin"
)

// occupy opens files until the next descriptor is 1024 or more.
func occupy(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 1100 {
		t.Skipf("the limit of open files is %d: descriptors of 1024 and more cannot occur", limit.Cur)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if f.Fd() >= 1024 {
			return
		}
	}
}

func TestHighDescriptorIsRefusedClearly(t *testing.T) {
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twin.Close() })
	occupy(t)

	_, err = Open(t.Context(), Config{Port: twin.Path(), Codec: codec.NMEA0183{}})
	if !errors.Is(err, ErrDescriptor) || !strings.Contains(err.Error(), "open serial ports before") {
		t.Errorf("open with high descriptors: %v, want ErrDescriptor with the mend", err)
	}

	// Should a port get one all the same, the library's panic must stay an error.
	port, err := serial.Open(twin.Path(), &serial.Mode{BaudRate: 9600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	if _, err := safeRead(port, make([]byte, 16)); !errors.Is(err, ErrDescriptor) {
		t.Errorf("read of a high descriptor: %v, want ErrDescriptor", err)
	}
}

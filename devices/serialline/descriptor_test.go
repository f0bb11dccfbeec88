//go:build linux

package serialline

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"

	"go.bug.st/serial"

	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
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

func TestHighDescriptors(t *testing.T) {
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twin.Close() })
	occupy(t)

	l, err := Open(t.Context(), Config{Port: twin.Path(), Codec: codec.NMEA0183{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := twin.Write(codec.AppendNMEA(nil, "GPHDT,1.0,T")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if s, err := l.Read(ctx); err != nil || string(s.Raw[:6]) != "$GPHDT" {
		t.Errorf("read with a descriptor above 1023: %q, %v", s.Raw, err)
	}
	if _, err := l.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}

	// The library alone would panic; should it be what reads, that stays an error.
	port, err := serial.Open(twin.Path(), &serial.Mode{BaudRate: 9600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	if _, err := safeRead(port, make([]byte, 16)); !errors.Is(err, ErrDescriptor) {
		t.Errorf("read of a high descriptor by the library: %v, want ErrDescriptor", err)
	}
}

package remoteport_test

import (
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/devicetest"
	"plumbline/devices/remoteport"
)

// What a driver does to a port comes to the far end of a twin, and what the device
// does there to the driver.
func TestATwinHasModemLines(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	var heard []byte
	twin, err := remoteport.NewTwin(t.Context(), remoteport.TwinOptions{
		OnReceive: func(p []byte) { mu.Lock(); defer mu.Unlock(); heard = append(heard, p...) },
		OnLine: func(line string, on bool) {
			mu.Lock()
			defer mu.Unlock()
			if on {
				line += "+"
			}
			lines = append(lines, line)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = twin.Close() }()
	twin.SetModem(serial.ModemStatusBits{DSR: true})
	port, err := remoteport.Dial(t.Context(), twin.Path(), mode)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = port.Close() }()
	modem := func(want serial.ModemStatusBits) {
		t.Helper()
		devicetest.Eventually(t, "the modem lines", func() bool {
			bits, err := port.GetModemStatusBits()
			return err == nil && *bits == want
		})
	}
	modem(serial.ModemStatusBits{DSR: true})
	twin.SetModem(serial.ModemStatusBits{CTS: true, RI: true, DCD: true})
	modem(serial.ModemStatusBits{CTS: true, RI: true, DCD: true})
	if err := errors.Join(port.SetDTR(true), port.SetRTS(false), port.Break(time.Millisecond), port.SetMode(&serial.Mode{BaudRate: 115200, DataBits: 8})); err != nil {
		t.Fatal(err)
	}
	const text = "a\xffb\r\n"
	if _, err := port.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the bytes at the device", func() bool { mu.Lock(); defer mu.Unlock(); return string(heard) == text })
	mu.Lock()
	if want := []string{"dtr+", "rts", "break+", "break"}; !slices.Equal(lines, want) {
		t.Errorf("lines were set as %q, want %q", lines, want)
	}
	mu.Unlock()
	if _, err := twin.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(port, got); err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
	if err := errors.Join(twin.Close(), twin.Close()); err != nil {
		t.Error(err)
	}
	if _, err := port.Read(got); err == nil {
		t.Error("a port whose server has gone is read")
	}
	if _, err := twin.Write(got); err == nil {
		t.Error("a closed twin took bytes")
	}
}

//go:build unix

package fault_test

import (
	"os"
	"testing"

	"plumbline/devices/ptytwin"
	"plumbline/harness/fault"
)

// TestSerialNoiseOverAPort lets the kernel's line discipline carry the noise.
func TestSerialNoiseOverAPort(t *testing.T) {
	var line *fault.Serial
	tw := twin(t)
	line = fault.NewSerial(tw, fault.SerialOptions{})
	port, err := os.OpenFile(tw.Path(), os.O_RDWR, 0)
	must(t, err)
	defer port.Close()
	f := line.BaudFault(9600, 4800)
	must(t, f.Inject(t.Context()))
	want := fault.Misread([]byte("$GPGGA,1\r\n"), 9600, 4800)
	write(t, line, "$GPGGA,1\r\n")
	reads(t, port, string(want))
	must(t, f.Revert(t.Context()))
	write(t, line, "$GPGGA,2\r\n")
	reads(t, port, "$GPGGA,2\r\n")
	if s := tw.Stats(); s.Bytes == 0 {
		t.Errorf("the twin carried nothing: %+v", s)
	}
}

// TestEchoOverAPort lets a reader hear itself.
func TestEchoOverAPort(t *testing.T) {
	var line *fault.Serial
	ready := make(chan struct{})
	tw, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true, OnReceive: func(p []byte) { <-ready; line.Heard(p) }})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = tw.Close() })
	line = fault.NewSerial(tw, fault.SerialOptions{})
	close(ready)
	port, err := os.OpenFile(tw.Path(), os.O_RDWR, 0)
	must(t, err)
	defer port.Close()
	f := line.EchoFault()
	must(t, f.Inject(t.Context()))
	write(t, port, "AT?\n")
	reads(t, port, "AT?\n")
	must(t, f.Revert(t.Context()))
	write(t, port, "AT?\n")
	write(t, line, "OK\n")
	reads(t, port, "OK\n")
}

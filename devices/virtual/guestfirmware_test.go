package virtual_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/guest"
	"plumbline/devices/usbip"
	"plumbline/devices/virtual"
)

// drop takes all that is written to it, whatever becomes of it: a UART that is not
// read would stop its machine.
type drop struct{ to io.Writer }

func (d drop) Write(p []byte) (int, error) {
	_, _ = d.to.Write(p)
	return len(p), nil
}

// guestFirmware puts a board with our firmware behind an adapter: a value set on its
// sensor's bus must come through the guest's own driver, and a command must reach a pin.
func guestFirmware(t *testing.T, g *virtual.Guest) {
	t.Helper()
	if err := virtual.Available(); err != nil {
		t.Logf("tier 2 of the virtual bench is N/A, so it is not joined to tier 3: %v", err)
		return
	}
	board, err := virtual.Start(t.Context(), virtual.Options{Number: 7, Temperature: 30})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, g, usbip.FTDI, virtual.SerialNumber(7))
	b.codec = firmware.Codec()
	b.hear = func(p []byte) {
		_ = board.Serial().SetWriteDeadline(time.Now().Add(time.Second)) // its error comes with the write
		_, _ = board.Serial().Write(p)                                   // a board that takes nothing loses it
	}
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		_, _ = io.Copy(drop{b.adapter}, board.Serial()) // ends with the board
	}()
	t.Cleanup(func() {
		if err := board.Close(); err != nil {
			t.Errorf("close the board: %v", err)
		}
		<-relayed
	})
	b.plug(3)
	b.open(guest.Port{Baud: firmware.Baud})
	var n uint32
	tell := func(text string) devices.Sample {
		t.Helper()
		for { // what the terminal echoed at the opening may have spoilt a command
			n++
			if _, err := b.sensor.Write(firmware.Command(n, text)); err != nil {
				t.Fatal(err)
			}
			if s, ok := b.until(firmware.Done, float64(n)); ok {
				return s
			}
		}
	}
	tell("rate 50")
	if got := tell("out 2 1"); firmware.Number(got.Values, firmware.Temperature) != 30 {
		t.Errorf("the node says %q, want 30 °C", got.Raw)
	}
	if on, err := board.Output(t.Context(), 2); err != nil || !on {
		t.Errorf("output 2 is %v, %v; the command came through the guest", on, err)
	}
	begin := time.Now()
	if err := board.SetTemperature(t.Context(), 42.5); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.until(firmware.Temperature, 42.5); !ok {
		t.Fatal("the temperature that was set does not come out of the guest")
	}
	t.Logf("from the sensor's bus through firmware, relay, ftdi_sio and the agent in %v", time.Since(begin))
}

// until reads on until a line says that value, some ten seconds long.
func (b *bench) until(name string, want float64) (devices.Sample, bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	for {
		s, err := b.sensor.Read(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return s, false
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if firmware.Number(s.Values, name) == want {
			return s, true
		}
	}
}

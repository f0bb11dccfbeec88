package virtual_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/guest"
	"plumbline/devices/usbip"
	"plumbline/devices/virtual"
)

// guestTwins lets twins of a node stand in the sockets of a guest: what they say
// comes through the guest's drivers at the pace of the line, also after a replug.
func guestTwins(t *testing.T, g *virtual.Guest) {
	t.Helper()
	for i, model := range []usbip.Model{usbip.FTDI, usbip.ACM} {
		number := uint32(0x20 + i)
		socket, err := g.Socket(usbip.Options{Model: model, Serial: virtual.SerialNumber(number)})
		if err != nil {
			t.Fatal(err)
		}
		n, err := virtual.OpenTwin(t.Context(), virtual.TwinOptions{ID: string(model), Number: number, Period: 50 * time.Millisecond, Open: socket.Open})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		s, err := guest.Open(t.Context(), g.Dial, guest.Config{ID: string(model), Port: guest.Port{Select: n.Path(), Baud: 19200}, Codec: firmware.Codec()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		first := nodeLine(t, s)
		if bits, baud := n.Port().Framing(); bits != 10 || baud < 19100 || baud > 19300 {
			t.Errorf("%s: the line has %d bits and %d baud", model, bits, baud)
		}
		if err := n.Unplug(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.Port().Plugged() {
			t.Error("it is still plugged in")
		}
		begin := time.Now()
		if err := n.Plug(t.Context()); err != nil {
			t.Fatal(err)
		}
		plugged := time.Since(begin)
		again := nodeLine(t, s)
		t.Logf("%s: line %v before and %v after a replug; known to the kernel after %v, read after %v", model,
			firmware.Number(first.Values, firmware.Sequence), firmware.Number(again.Values, firmware.Sequence), plugged, time.Since(begin))
		if c := s.Counters(); c.Damaged != 0 || c.Unchecked != 0 {
			t.Errorf("%s: counters %+v", model, c)
		}
	}
}

// nodeLine reads a line of the node.
func nodeLine(t *testing.T, s *guest.Sensor) devices.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guestPatience)
	defer cancel()
	got, err := s.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(got.Values, func(v devices.Value) bool { return v.Name == firmware.Temperature }) {
		t.Fatalf("read %q", got.Raw)
	}
	return got
}

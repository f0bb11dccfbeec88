package usbip_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/usbip"
)

// vendor is a request that writes to an FT232R.
func (k *kernel) vendor(request byte, value, index uint16) {
	k.t.Helper()
	if got := k.out(0, []byte{0x40, request, byte(value), byte(value >> 8), byte(index), byte(index >> 8), 0, 0}, nil); got.status != 0 {
		k.t.Fatalf("request %d of %#x: status %d", request, value, got.status)
	}
}

func TestFTDISpeedsAreThoseOfTheDivisor(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.FTDI})
	k := plug(t, a)
	// Values of the kernel's ftdi_232bm_baud_to_divisor; AN232B-05 has the same.
	for _, c := range []struct {
		value, index uint16
		want         float64
	}{
		{0x4138, 0, 9600}, {0x001A, 0, 115384.6}, {0xC034, 0, 57553.96}, {0x0271, 0, 4800}, {0x0003, 0, 1_000_000},
		{0, 0, 3_000_000}, {1, 0, 2_000_000}, {0x8002, 1, 24e6 / 22}, {0x4009, 1, 24e6 / 77},
	} {
		k.vendor(3, c.value, c.index)
		if got := a.Settings().Baud; math.Abs(got/c.want-1) > 1e-3 {
			t.Errorf("divisor %#x,%d makes %.2f baud, want %.2f", c.value, c.index, got, c.want)
		}
	}
}

func TestFTDISettings(t *testing.T) {
	var mu sync.Mutex
	var told []usbip.Settings
	a := adapter(t, usbip.Options{Model: usbip.FTDI, OnChange: func(s usbip.Settings) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	}})
	k := plug(t, a)
	k.vendor(4, 7|2<<8|2<<11, 0) // 7E2
	k.vendor(1, 0x0101, 0)       // DTR on
	k.vendor(1, 0x0202, 0)       // RTS on, DTR left alone
	k.vendor(4, 7|2<<8|2<<11|1<<14, 0)
	k.vendor(4, 7|2<<8|2<<11, 0)
	k.vendor(9, 1, 0)
	want := usbip.Settings{DataBits: 7, Parity: "even", StopBits: 2, DTR: true, RTS: true, Breaks: 1, Latency: time.Millisecond}
	if got := a.Settings(); got != want {
		t.Errorf("settings %+v, want %+v", got, want)
	}
	if got := k.ask(0xC0, 10, 0, 0, 0, 0, 1, 0).data; !bytes.Equal(got, []byte{1}) {
		t.Errorf("latency timer % x, want 01", got)
	}
	if got := k.ask(0xC0, 5, 0, 0, 0, 0, 2, 0).data; !bytes.Equal(got, []byte{0xB1, 0x60}) {
		t.Errorf("status % x: want CTS, DSR, DCD and an empty transmitter", got)
	}
	if got := k.out(0, []byte{0x40, 0x77, 0, 0, 0, 0, 0, 0}, nil); got.status != -32 {
		t.Errorf("an unknown request: status %d, want a stall", got.status)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 6 || !told[3].Break || told[4].Break {
		t.Errorf("changes %+v: want six, with a break at the fourth", told)
	}
}

func TestFTDIPackets(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.FTDI})
	k := plug(t, a)
	k.vendor(9, 1, 0)
	if got := k.await(k.submit(1, 512)).data; !bytes.Equal(got, []byte{0xB1, 0x60}) {
		t.Fatalf("the first packet is % x, want the modem lines", got)
	}
	line := bytes.Repeat([]byte("0123456789abcdef"), 8) // 128 bytes: 62, 62 and 4 in one transfer or more
	if _, err := a.Write(line); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < len(line) {
		got = append(got, unpack(t, k.await(k.submit(1, 512)).data, 0)...)
	}
	if !bytes.Equal(got, line) {
		t.Errorf("got %q", got)
	}
	seq := k.submit(1, 512)
	a.SetModem(usbip.Modem{RI: true})
	if got := k.await(seq).data; !bytes.Equal(got, []byte{0x41, 0x60}) {
		t.Errorf("after a change of the modem lines % x, want 41 60", got)
	}
	if s := a.Stats(); s.Sent != 128 || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

// unpack takes the status off each packet of a transfer; errors must be as want.
func unpack(t *testing.T, transfer []byte, want byte) []byte {
	t.Helper()
	var out []byte
	for len(transfer) > 0 {
		packet := transfer[:min(64, len(transfer))]
		transfer = transfer[len(packet):]
		if len(packet) < 2 || packet[1]&0x9E != want {
			t.Fatalf("packet % x: line status must be %#x", packet, want)
		}
		out = append(out, packet[2:]...)
	}
	return out
}

func TestFTDIErrorsAreInTheirOwnPackets(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.FTDI})
	k := plug(t, a)
	k.vendor(9, 255, 0) // the good bytes before an error do not wait for the timer
	k.await(k.submit(1, 512))
	for _, part := range []struct {
		text string
		e    usbip.LineError
	}{{"good", 0}, {"bad", usbip.Parity | usbip.Framing}, {"more", usbip.BreakSeen}} {
		if err := a.WriteDamaged([]byte(part.text), part.e); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct {
		text   string
		status byte
	}{{"good", 0}, {"bad", 0x0C}, {"more", 0x10}} {
		if got := unpack(t, k.await(k.submit(1, 512)).data, want.status); string(got) != want.text {
			t.Errorf("got %q, want %q", got, want.text)
		}
	}
	if s := a.Stats(); s.Damaged != 7 {
		t.Errorf("stats %+v, want 7 damaged bytes", s)
	}
}

func TestFTDISaysWhenBytesWereLost(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.FTDI, Buffer: 70})
	k := plug(t, a)
	k.await(k.submit(1, 64))
	if _, err := a.Write(bytes.Repeat([]byte("x"), 100)); err != nil {
		t.Fatal(err)
	}
	if got := unpack(t, k.await(k.submit(1, 64)).data, 0x02); len(got) != 62 {
		t.Errorf("%d bytes in the first packet, want 62", len(got))
	}
	if got := unpack(t, k.await(k.submit(1, 64)).data, 0); len(got) != 8 {
		t.Errorf("%d bytes in the next, want 8", len(got))
	}
	if s := a.Stats(); s.Dropped != 30 {
		t.Errorf("stats %+v, want 30 dropped", s)
	}
	if _, err := a.Write([]byte("stale")); err != nil {
		t.Fatal(err)
	}
	for _, reset := range []struct {
		value   uint16
		dropped uint64
	}{{1, 30}, {2, 35}, {0, 35}} { // what the host sent, what waits for it, both: so the driver opens the port
		k.vendor(0, reset.value, 0)
		if s := a.Stats(); s.Dropped != reset.dropped {
			t.Errorf("after reset %d: stats %+v, want %d dropped", reset.value, s, reset.dropped)
		}
	}
}

func TestReceive(t *testing.T) {
	var mu sync.Mutex
	var heard strings.Builder
	a := adapter(t, usbip.Options{Model: usbip.ACM, OnReceive: func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard.Write(p)
	}})
	k := plug(t, a)
	for _, part := range []string{"led ", "on\n"} {
		if got := k.out(1, nil, []byte(part)); got.status != 0 || got.moved != len(part) {
			t.Errorf("answer %+v", got)
		}
	}
	if got := k.out(5, nil, []byte("x")); got.status != -32 {
		t.Errorf("an endpoint that is not there: status %d, want a stall", got.status)
	}
	devicetest.Eventually(t, "the device to hear", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return heard.String() == "led on\n"
	})
}

func TestACMSettingsAndNotices(t *testing.T) {
	a := adapter(t, usbip.Options{Model: usbip.ACM})
	k := plug(t, a)
	coding := append(binary.LittleEndian.AppendUint32(nil, 19200), 2, 2, 7)
	if got := k.out(0, []byte{0x21, 0x20, 0, 0, 0, 0, 7, 0}, coding); got.status != 0 {
		t.Fatalf("set line coding: %+v", got)
	}
	if got := k.ask(0xA1, 0x21, 0, 0, 0, 0, 7, 0).data; !bytes.Equal(got, coding) {
		t.Errorf("line coding % x, want % x", got, coding)
	}
	k.out(0, []byte{0x21, 0x22, 3, 0, 0, 0, 0, 0}, nil)
	k.out(0, []byte{0x21, 0x23, 0xFF, 0xFF, 0, 0, 0, 0}, nil)
	if want := (usbip.Settings{Baud: 19200, DataBits: 7, Parity: "even", StopBits: 2, DTR: true, RTS: true, Break: true, Breaks: 1}); a.Settings() != want {
		t.Errorf("settings %+v, want %+v", a.Settings(), want)
	}
	k.out(0, []byte{0x21, 0x23, 0, 0, 0, 0, 0, 0}, nil)
	if a.Settings().Break {
		t.Error("the break does not end")
	}
	if got := k.out(0, []byte{0x21, 0x20, 0, 0, 0, 0, 7, 0}, []byte{1, 2, 3, 4, 9, 9, 8}); got.status != -32 {
		t.Errorf("a line coding that is none: %+v, want a stall", got)
	}
	if got := k.await(k.submit(3, 16)).data; !bytes.Equal(got, []byte{0xA1, 0x20, 0, 0, 0, 0, 2, 0, 0x03, 0}) {
		t.Errorf("first notice % x: want DCD and DSR", got)
	}
	seq := k.submit(3, 16)
	if err := a.WriteDamaged([]byte("bad"), usbip.Parity); err != nil {
		t.Fatal(err)
	}
	if got := k.await(seq).data; !bytes.Equal(got, []byte{0xA1, 0x20, 0, 0, 0, 0, 2, 0, 0x23, 0}) {
		t.Errorf("notice of a parity error % x", got)
	}
	if got := k.await(k.submit(2, 512)).data; string(got) != "bad" {
		t.Errorf("bytes %q", got)
	}
}

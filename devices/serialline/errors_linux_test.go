package serialline

import (
	"errors"
	"testing"
	"unsafe"

	"plumbline/devices"
	"plumbline/devices/codec"
)

func TestCountsAsTheKernelGivesThem(t *testing.T) {
	if size := unsafe.Sizeof(kernelCounts{}); size != 80 {
		t.Errorf("struct serial_icounter_struct has 80 bytes, ours %d", size)
	}
	before := LineErrors{Break: 1<<32 - 1, Parity: 4}
	if d := (LineErrors{Break: 1, Parity: 6, Frame: 2}).Since(before); d != (LineErrors{Break: 2, Parity: 2, Frame: 2}) {
		t.Errorf("over the end of 32 bits: %+v", d)
	}
}

func TestWhoCountsNoErrors(t *testing.T) {
	cfg, err := Config{ID: "board", Port: "x", Codec: codec.NMEA0183{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newLine(cfg, Stats{})
	if _, err := l.LineErrors(); !errors.Is(err, devices.ErrUnplugged) {
		t.Errorf("without a port: %v", err)
	}
	l.setPort(&wired{})
	if _, err := l.LineErrors(); !errors.Is(err, ErrNoCounts) {
		t.Errorf("a port that is none of the kernel's: %v", err)
	}
}

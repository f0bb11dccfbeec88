package codec_test

import (
	"strings"
	"testing"

	"plumbline/devices/codec"
)

// TestSums holds each check against the value that its catalogue gives for "123456789".
func TestSums(t *testing.T) {
	want := map[string]uint32{
		"crc8": 0xf4, "crc8-maxim": 0xa1, "crc16-ccitt": 0x29b1, "crc16-modbus": 0x4b37, "crc16-arc": 0xbb3d,
		"crc16-x25": 0x906e, "crc16-xmodem": 0x31c3, "crc32": 0xcbf43926,
		"sum8": 0xdd, "sum8-negative": 0x23, "sum16": 0x01dd, "xor8": 0x31,
	}
	for _, s := range codec.Sums() {
		if got := s.Of([]byte("123456789")); got != want[s.Name()] {
			t.Errorf("%s of 123456789 is %X, want %X", s.Name(), got, want[s.Name()])
		}
		if found, err := codec.SumByName(s.Name()); err != nil || found.Name() != s.Name() {
			t.Errorf("SumByName(%q): %v", s.Name(), err)
		}
		if n := len(s.Append(nil, []byte("x"))); n != s.Size() {
			t.Errorf("%s has %d bytes, says %d", s.Name(), n, s.Size())
		}
	}
	if len(codec.Sums()) != len(want) {
		t.Errorf("%d checks, %d are tested", len(codec.Sums()), len(want))
	}
	if got := codec.CRC16Modbus.Append(nil, []byte{1, 4, 0x0b, 0xb7, 0, 1}); string(got) != "\x83\xc8" {
		t.Errorf("Modbus CRC % X, want 83 C8 (a request of a Solis data logger)", got)
	}
	if none, err := codec.SumByName(""); err != nil || none.Size() != 0 || none.Of([]byte("x")) != 0 {
		t.Errorf("no check: %+v, %v", none, err)
	}
	if _, err := codec.SumByName("md5"); err == nil || !strings.Contains(err.Error(), "crc16-modbus") {
		t.Errorf("an unknown check: %v", err)
	}
}

package firmware_test

import (
	"bytes"
	"debug/elf"
	"math"
	"strings"
	"testing"

	"plumbline/devices"
	"plumbline/devices/firmware"
)

func TestTheImageIsAProgramForTheBoard(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(firmware.Image()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.EM_ARM || f.Class != elf.ELFCLASS32 || f.Type != elf.ET_EXEC {
		t.Errorf("%s %s %s", f.Machine, f.Class, f.Type)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 && p.Paddr+p.Filesz > 256<<10 {
			t.Errorf("a segment at %#x does not fit into the flash", p.Paddr)
		}
	}
	if n := len(firmware.Image()); n > 16<<10 {
		t.Errorf("%d bytes: an image in the tree is to be small", n)
	}
	mine := firmware.Image()
	mine[0]++
	if bytes.Equal(mine, firmware.Image()) || len(firmware.Digest()) != 64 {
		t.Error("the image can be changed from outside, or has no digest")
	}
}

func TestCommandsCarryTheirCRC(t *testing.T) {
	if got := string(firmware.Command(7, "out 2 1")); got != "out 2 1 7*3DFA\n" {
		t.Errorf("command %q", got)
	}
	for _, bad := range []string{"", "out 2 1 \n", "out\x00", "größer 1", strings.Repeat("x", 43)} {
		if framed, ok := firmware.Frame([]byte(bad)); ok {
			t.Errorf("%q became %q", bad, framed)
		}
	}
	if framed, ok := firmware.Frame([]byte("out 2 1 7")); !ok || string(framed) != string(firmware.Command(7, "out 2 1")) {
		t.Errorf("framed %q, %v", framed, ok)
	}
}

func TestNumberFindsNumbers(t *testing.T) {
	values := []devices.Value{{Name: "id", Text: "5", IsText: true}, {Name: "t", Number: -0.5}}
	if firmware.Number(values, "t") != -0.5 || !math.IsNaN(firmware.Number(values, "id")) || !math.IsNaN(firmware.Number(values, "x")) {
		t.Error("a number was not found, or made up")
	}
}

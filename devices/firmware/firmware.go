// Package firmware holds the program of the virtual bench's sensor node, built
// for a Cortex-M3, and how to speak to it. Its source is node/node.c, whose head
// describes lines and commands; make firmware builds it anew and compares.
package firmware

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"plumbline/devices"
	"plumbline/devices/codec"
)

//go:embed node/node.elf
var image []byte

// Baud is the speed of the node's UART, 8N1.
const Baud = 115200

// Outputs is how many outputs the node drives.
const Outputs = 4

// Names of what a line of the node says.
const (
	Serial      = "id"   // serial number of the part, text
	Sequence    = "seq"  // lines since the start
	Micros      = "us"   // clock of the node, in microseconds since the start
	Temperature = "t"    // degrees Celsius; left out while the sensor does not answer
	Output      = "out"  // the outputs as their chip holds them, bit 0 is output 0
	Done        = "cmd"  // number of the last command that was carried out
	Refused     = "bad"  // lines that came in and were no command
	Boots       = "boot" // starts since power came
)

// Image returns the program as an ELF file; the caller owns it.
func Image() []byte { return slices.Clone(image) }

// Digest returns the SHA-256 of the program in hexadecimal, for evidence.
func Digest() string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:])
}

// Codec returns the codec of the node's lines: every line carries its CRC.
func Codec() codec.Codec {
	return codec.LineJSON{CRC: true, Units: map[string]string{Temperature: "Cel", Micros: "us"}}
}

// Command returns a command as the node takes it, with CRC and line end. Text is
// a verb with its arguments, for example "out 2 1"; number is what the node says
// under Done once it has carried it out, at most 999 999 999.
func Command(number uint32, text string) []byte {
	return frame(fmt.Appendf(nil, "%s %d", text, number))
}

// longest is what the node takes of a command, CRC included.
const longest = 47

// Frame returns a command, a verb with its arguments and its number, as the node
// takes it; false for what cannot be one: too long, empty, or not of printable ASCII.
func Frame(command []byte) ([]byte, bool) {
	const crc = len("*HHHH")
	if len(command) == 0 || len(command) > longest-crc || slices.ContainsFunc(command, func(c byte) bool { return c < ' ' || c > '~' }) {
		return nil, false
	}
	return frame(slices.Clone(command)), true
}

func frame(body []byte) []byte { return fmt.Appendf(body, "*%04X\n", codec.CRC16(body)) }

// Number returns the number of that name among values, NaN when there is none.
func Number(values []devices.Value, name string) float64 {
	for _, v := range values {
		if v.Name == name && !v.IsText {
			return v.Number
		}
	}
	return math.NaN()
}

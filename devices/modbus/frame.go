package modbus

import (
	"encoding/binary"
	"fmt"

	"plumbline/devices/codec"
)

// Function codes (Application Protocol, 6).
const (
	readCoils         = 1
	readDiscretes     = 2
	readHolding       = 3
	readInput         = 4
	writeCoil         = 5
	writeRegister     = 6
	exceptionBit      = 0x80
	maxADU            = 256 // bytes of a frame on a serial line (Serial Line, 2.3)
	shortest          = 4   // unit, function, CRC
	exceptionLength   = 5
	mostRegisters     = 125  // in one reading (Application Protocol, 6.3)
	mostBits          = 2000 // (6.1)
	highestUnit       = 247
	registersOfAUnit  = 65536
	writeAnswerLength = 8
)

// exceptions are the codes of Application Protocol, 7.
var exceptions = map[byte]string{
	1:  "illegal function: the unit does not know this kind of register",
	2:  "illegal data address: the unit has no such register; compare the map with its manual",
	3:  "illegal data value",
	4:  "the unit has failed",
	5:  "acknowledged: the unit needs longer",
	6:  "the unit is busy",
	8:  "the unit's memory is damaged",
	10: "the gateway has no path to the unit", 11: "the unit behind the gateway does not answer",
}

// ExceptionText says what an exception code means.
func ExceptionText(code byte) string {
	if text, ok := exceptions[code]; ok {
		return fmt.Sprintf("exception %d, %s", code, text)
	}
	return fmt.Sprintf("exception %d, which the standard does not know", code)
}

// Check verifies the CRC of a whole frame, "" when it holds.
func Check(frame []byte) string {
	if len(frame) < shortest {
		return fmt.Sprintf("%d bytes are no frame", len(frame))
	}
	n := len(frame) - 2
	want := binary.LittleEndian.Uint16(frame[n:])
	if got := uint16(codec.CRC16Modbus.Of(frame[:n])); got != want {
		return fmt.Sprintf("CRC %04X, computed %04X", want, got)
	}
	return ""
}

// seal appends the CRC.
func seal(p []byte) []byte { return codec.CRC16Modbus.Append(p, p) }

// request builds a reading or the writing of one register: unit, function,
// address and a number.
func request(unit, function byte, address, number uint16) []byte {
	p := append(make([]byte, 0, writeAnswerLength), unit, function)
	p = binary.BigEndian.AppendUint16(p, address)
	p = binary.BigEndian.AppendUint16(p, number)
	return seal(p)
}

// answerLength returns how long the answer is that begins with p, in bytes: 0
// when more bytes are needed to tell, -1 when it cannot be told from its bytes.
func answerLength(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch function := p[1]; {
	case function&exceptionBit != 0:
		return exceptionLength
	case function >= readCoils && function <= readInput:
		if len(p) < 3 {
			return 0
		}
		return 3 + int(p[2]) + 2
	case function == writeCoil || function == writeRegister || function == 15 || function == 16:
		return writeAnswerLength
	}
	return -1
}

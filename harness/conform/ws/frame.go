package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Opcodes of RFC 6455 section 5.2.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA
)

// maxFrame is the longest frame that is taken from a server.
const maxFrame = 8 << 20

// Frame is one frame as the client sends it. The zero value is an empty
// continuation without FIN.
type Frame struct {
	Fin     bool
	RSV     byte // the three bits, 4 is RSV1
	Op      byte
	Payload []byte
}

// Text returns a whole text message.
func Text(payload []byte) Frame { return Frame{Fin: true, Op: OpText, Payload: payload} }

// Binary returns a whole binary message.
func Binary(payload []byte) Frame { return Frame{Fin: true, Op: OpBinary, Payload: payload} }

// mask is fixed: what a masked payload looks like must not depend on chance.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Bytes returns the frame masked, with the shortest form of its length.
func (f Frame) Bytes() []byte {
	return f.encode(0, uint64(len(f.Payload)), true)
}

// encode builds the frame. form is 0 for the shortest length, else 16 or 64
// bits; declared is the length that the header says.
func (f Frame) encode(form int, declared uint64, masked bool) []byte {
	first := f.RSV<<4 | f.Op
	if f.Fin {
		first |= 0x80
	}
	out := []byte{first}
	switch {
	case form == 64 || form == 0 && declared > 0xffff:
		out = binary.BigEndian.AppendUint64(append(out, 127), declared)
	case form == 16 || form == 0 && declared > 125:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(declared))
	default:
		out = append(out, byte(declared))
	}
	if !masked {
		return append(out, f.Payload...)
	}
	out[1] |= 0x80
	out = append(out, mask[:]...)
	for i, b := range f.Payload {
		out = append(out, b^mask[i%4])
	}
	return out
}

// closing returns the payload of a close frame.
func closing(code int, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// received is one frame of the server, with what is wrong with its form.
type received struct {
	Frame
	masked   bool
	longForm bool // its length was not in the shortest form
}

// parse takes one frame from the head of b. n is 0 while it is not complete.
// An error means that nothing after this can be understood.
func parse(b []byte) (f received, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	f.Fin, f.RSV, f.Op = b[0]&0x80 != 0, b[0]>>4&7, b[0]&0xf
	f.masked = b[1]&0x80 != 0
	length, head := uint64(b[1]&0x7f), 2
	switch length {
	case 126:
		head = 4
		if len(b) < head {
			return f, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
		f.longForm = length < 126
	case 127:
		head = 10
		if len(b) < head {
			return f, 0, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
		f.longForm = length <= 0xffff
	}
	if length > maxFrame {
		return f, 0, fmt.Errorf("the server sends a frame of %d bytes, %d is the most that is taken", length, maxFrame)
	}
	var key []byte
	if f.masked {
		if len(b) < head+4 {
			return f, 0, nil
		}
		key, head = b[head:head+4], head+4
	}
	n = head + int(length)
	if len(b) < n {
		return f, 0, nil
	}
	f.Payload = append([]byte(nil), b[head:n]...)
	for i := range key {
		for j := i; j < len(f.Payload); j += 4 {
			f.Payload[j] ^= key[i]
		}
	}
	return f, n, nil
}

// closeCode reads the payload of a close frame; 1005 stands for none, and 0
// with a problem for what no server may send.
func closeCode(payload []byte) (code int, reason []byte, problem string) {
	switch {
	case len(payload) == 0:
		return 1005, nil, ""
	case len(payload) == 1:
		return 0, nil, "a close frame with a body of one byte"
	}
	code, reason = int(binary.BigEndian.Uint16(payload)), payload[2:]
	switch {
	case code < 1000, code == 1004, code == 1005, code == 1006, code == 1015, code > 4999, code > 1015 && code < 3000:
		problem = fmt.Sprintf("a close frame with code %d", code)
	case !utf8.Valid(reason):
		problem = "a close frame whose reason is not UTF-8"
	}
	return code, reason, problem
}

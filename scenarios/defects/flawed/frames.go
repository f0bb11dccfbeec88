package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// frame is one WebSocket frame as it came: first holds FIN, the reserved bits
// and the opcode. Its payload is not masked.
type frame struct {
	first   byte
	bare    bool // it came without a mask from a viewer, who must not do that
	payload []byte
}

func (f frame) opcode() byte { return f.first & 0x0f }

// text reports whether the frame is a whole text message without extensions.
func (f frame) text() bool { return f.first == 0x80|opText }

func textFrame(payload []byte) frame { return frame{first: 0x80 | opText, payload: payload} }

// frameMost bounds what is held of one frame.
const frameMost = 64 << 20

var errFrame = errors.New("a frame is too large")

// readFrame reads one frame and takes its mask off, if there was one.
func readFrame(in *bufio.Reader) (f frame, masked bool, err error) {
	var head [8]byte
	if _, err = io.ReadFull(in, head[:2]); err != nil {
		return f, false, err
	}
	f.first, masked = head[0], head[1]&0x80 != 0
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		if _, err = io.ReadFull(in, head[:2]); err != nil {
			return f, masked, err
		}
		size = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		if _, err = io.ReadFull(in, head[:8]); err != nil {
			return f, masked, err
		}
		size = binary.BigEndian.Uint64(head[:8])
	}
	if size > frameMost {
		return f, masked, errFrame
	}
	var mask [4]byte
	if masked {
		if _, err = io.ReadFull(in, mask[:]); err != nil {
			return f, masked, err
		}
	}
	f.payload = make([]byte, size)
	if _, err = io.ReadFull(in, f.payload); err != nil {
		return f, masked, err
	}
	if masked {
		for i := range f.payload {
			f.payload[i] ^= mask[i&3]
		}
	}
	return f, masked, nil
}

// appendFrame appends the frame to dst; masked as a client has to send it, with
// a mask that anybody may know: the connection is TLS.
func appendFrame(dst []byte, f frame, masked bool) []byte {
	second, n := byte(0), len(f.payload)
	if masked {
		second = 0x80
	}
	dst = append(dst, f.first)
	switch {
	case n < 126:
		dst = append(dst, second|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, second|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, second|127), uint64(n))
	}
	if !masked {
		return append(dst, f.payload...)
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	dst = append(dst, mask[:]...)
	for i, b := range f.payload {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

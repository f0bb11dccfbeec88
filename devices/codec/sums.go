package codec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strings"
)

// Sum is a check that a frame carries: its name, its length in the frame and how
// it is computed. The zero value checks nothing and has no bytes.
type Sum struct {
	name    string
	size    int  // bytes in the frame
	little  bool // least significant byte first, as the standard that names it sends it
	compute func(p []byte) uint32
}

// Name is the name that SumByName knows, "" for no check.
func (s Sum) Name() string { return s.name }

// Size is the length of the check in a frame, in bytes.
func (s Sum) Size() int { return s.size }

// Of computes the check of p; 0 for no check.
func (s Sum) Of(p []byte) uint32 {
	if s.compute == nil {
		return 0
	}
	return s.compute(p)
}

// Append appends the check of p to dst, in the order of the standard.
func (s Sum) Append(dst, p []byte) []byte {
	v := s.Of(p)
	for i := range s.size {
		shift := 8 * (s.size - 1 - i)
		if s.little {
			shift = 8 * i
		}
		dst = append(dst, byte(v>>shift))
	}
	return dst
}

// read reads the check from the bytes of a frame that hold it.
func (s Sum) read(p []byte) uint32 {
	var v uint32
	for i := range s.size {
		b := p[i]
		if s.little {
			b = p[s.size-1-i]
		}
		v = v<<8 | uint32(b)
	}
	return v
}

// compare says what is wrong with a check, "" if nothing.
func (s Sum) compare(covered, sent []byte) string {
	if want, got := s.read(sent), s.Of(covered); want != got {
		return fmt.Sprintf("checksum %0*X, computed %0*X", 2*s.size, want, 2*s.size, got)
	}
	return ""
}

// cut verifies the check at the end of frame and returns what is before it.
func (s Sum) cut(frame []byte) ([]byte, error) {
	n := len(frame) - s.size
	if n < 0 {
		return nil, damaged("%d bytes are too few for a check of %d", len(frame), s.size)
	}
	if fault := s.compare(frame[:n], frame[n:]); fault != "" {
		return nil, damaged("%s", fault)
	}
	return frame[:n], nil
}

// The checks that sensors use. CRCs are named as in the catalogue of
// parametrised CRC algorithms (reveng); the value of each for "123456789" is in
// the tests.
var (
	// CRC16CCITT is CRC-16/CCITT-FALSE (IBM-3740), most significant byte first.
	CRC16CCITT = Sum{name: "crc16-ccitt", size: 2, compute: func(p []byte) uint32 { return uint32(CRC16(p)) }}
	// CRC16Modbus is the CRC of Modbus RTU, least significant byte first
	// (MODBUS over Serial Line V1.02, 2.5.1.2).
	CRC16Modbus = Sum{name: "crc16-modbus", size: 2, little: true, compute: func(p []byte) uint32 { return uint32(reflected16(p, 0xffff, 0xa001)) }}
	// CRC16ARC is the CRC of DSMR P1 and many older protocols, least
	// significant byte first.
	CRC16ARC = Sum{name: "crc16-arc", size: 2, little: true, compute: func(p []byte) uint32 { return uint32(reflected16(p, 0, 0xa001)) }}
	// CRC16X25 is the frame check sequence of HDLC and PPP, least significant
	// byte first (RFC 1662, C.2).
	CRC16X25 = Sum{name: "crc16-x25", size: 2, little: true, compute: func(p []byte) uint32 { return uint32(^reflected16(p, 0xffff, 0x8408)) }}
	// CRC16XModem is CRC-16/XMODEM, most significant byte first.
	CRC16XModem = Sum{name: "crc16-xmodem", size: 2, compute: func(p []byte) uint32 { return uint32(crc16MSB(p, 0)) }}
	// CRC32 is CRC-32/ISO-HDLC, that of Ethernet and zip, most significant byte
	// first.
	CRC32 = Sum{name: "crc32", size: 4, compute: crc32.ChecksumIEEE}
	// CRC8 is CRC-8/SMBUS, polynomial 0x07.
	CRC8 = Sum{name: "crc8", size: 1, compute: func(p []byte) uint32 { return uint32(crc8(p, 0, 0x07, false)) }}
	// CRC8Maxim is the CRC of 1-Wire devices.
	CRC8Maxim = Sum{name: "crc8-maxim", size: 1, compute: func(p []byte) uint32 { return uint32(crc8(p, 0, 0x31, true)) }}
	// XOR8 is the exclusive-or of all bytes.
	XOR8 = Sum{name: "xor8", size: 1, compute: func(p []byte) uint32 { return uint32(NMEAChecksum(p)) }}
	// Sum8 is the sum of all bytes, modulo 256.
	Sum8 = Sum{name: "sum8", size: 1, compute: func(p []byte) uint32 { return total(p) & 0xff }}
	// Sum8Negative makes the sum of all bytes and the check 0 modulo 256.
	Sum8Negative = Sum{name: "sum8-negative", size: 1, compute: func(p []byte) uint32 { return -total(p) & 0xff }}
	// Sum16 is the sum of all bytes modulo 65536, most significant byte first.
	Sum16 = Sum{name: "sum16", size: 2, compute: func(p []byte) uint32 { return total(p) & 0xffff }}
)

// Sums returns all checks.
func Sums() []Sum {
	return []Sum{XOR8, Sum8, Sum8Negative, Sum16, CRC8, CRC8Maxim, CRC16CCITT, CRC16Modbus, CRC16ARC, CRC16X25, CRC16XModem, CRC32}
}

// SumByName returns the check called name; "" is no check. The error lists what
// is known.
func SumByName(name string) (Sum, error) {
	if name == "" {
		return Sum{}, nil
	}
	var names []string
	for _, s := range Sums() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return Sum{}, fmt.Errorf("codec: no check is called %q; known are %s", name, strings.Join(names, ", "))
}

func total(p []byte) uint32 {
	var sum uint32
	for _, b := range p {
		sum += uint32(b)
	}
	return sum
}

// reflected16 is a CRC of 16 bits that takes the least significant bit first;
// poly is the reversed polynomial.
func reflected16(p []byte, crc, poly uint16) uint16 {
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			odd := crc & 1
			crc >>= 1
			if odd != 0 {
				crc ^= poly
			}
		}
	}
	return crc
}

// crc16MSB is a CRC with polynomial 0x1021 that takes the most significant bit first.
func crc16MSB(p []byte, crc uint16) uint16 {
	for _, b := range p {
		crc ^= uint16(b) << 8
		for range 8 {
			high := crc & 0x8000
			crc <<= 1
			if high != 0 {
				crc ^= 0x1021
			}
		}
	}
	return crc
}

// crc8 is a CRC of 8 bits; reflect takes and gives the bits in reverse.
func crc8(p []byte, crc, poly byte, reflect bool) byte {
	for _, b := range p {
		if reflect {
			b = bits.Reverse8(b)
		}
		crc ^= b
		for range 8 {
			high := crc & 0x80
			crc <<= 1
			if high != 0 {
				crc ^= poly
			}
		}
	}
	if reflect {
		return bits.Reverse8(crc)
	}
	return crc
}

// CRC16 is CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, no reflection
// (check value of "123456789": 0x29B1).
func CRC16(p []byte) uint16 { return crc16MSB(p, 0xffff) }

// uint16s reads big-endian words.
func uint16s(p []byte) []uint16 {
	out := make([]uint16, len(p)/2)
	for i := range out {
		out[i] = binary.BigEndian.Uint16(p[2*i:])
	}
	return out
}

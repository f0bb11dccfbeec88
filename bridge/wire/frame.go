package wire

import "encoding/binary"

// First bytes of the frames that the bridge sends, FIN set (RFC 6455 section 5.2).
const (
	frameText   byte = 0x81
	frameBinary byte = 0x82
	frameClose  byte = 0x88
	framePing   byte = 0x89
	framePong   byte = 0x8A
)

// rsv1 marks the first frame of a compressed message (RFC 7692 section 6).
const rsv1 byte = 0x40

// appendHeader appends the header of an unmasked frame with a payload of n bytes, in its shortest form (RFC 6455 section 5.2).
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n <= 125:
		return append(dst, first, byte(n))
	case n <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// appendFrame appends a whole frame whose payload is the parts joined.
func appendFrame(dst []byte, first byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = appendHeader(dst, first, n)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

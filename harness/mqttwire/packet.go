// Package mqttwire reads and writes the few MQTT packets that the harness
// exchanges with a broker, in MQTT 5 and in MQTT 3.1.1. It is the harness's own:
// whoever measures stamps a packet directly after its last byte was read, and
// takes nothing for well-formed because a library did.
//
// Lengths are checked before anything is allocated or waited for.
package mqttwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The versions, as CONNECT writes them.
const (
	V311 = 4 // MQTT 3.1.1
	V5   = 5 // MQTT 5
)

// Version reads how people write a version: "5", "3.1.1", and "" for MQTT 5.
func Version(name string) (byte, error) {
	switch name {
	case "", "5":
		return V5, nil
	case "3.1.1":
		return V311, nil
	}
	return 0, fmt.Errorf("MQTT version %q is not spoken; it is 5 or 3.1.1", name)
}

// The control packets that the harness meets (MQTT 5 section 2.1.2; 3.1.1 has the
// same but for AUTH, and DISCONNECT from clients only).
const (
	TypeConnect    = 1
	TypeConnack    = 2
	TypePublish    = 3
	TypePuback     = 4
	TypeSubscribe  = 8
	TypeSuback     = 9
	TypePingreq    = 12
	TypePingresp   = 13
	TypeDisconnect = 14
)

// ErrMalformed marks what no server may send; the session ends (MQTT 5 section 4.13.1).
var ErrMalformed = errors.New("malformed MQTT packet")

// Malformed returns an error that wraps ErrMalformed.
func Malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Packet is one control packet; Body lies in the buffer that it was cut from.
type Packet struct {
	Type  byte
	Flags byte
	Body  []byte
}

// Cut cuts the first packet off data. size is 0 when more bytes are needed; Type
// and Flags are those of the first byte even then. A packet of more than limit
// bytes is malformed, and is found before anything waits for its bytes.
func Cut(data []byte, limit int) (p Packet, size int, err error) {
	if len(data) == 0 {
		return p, 0, nil
	}
	p.Type, p.Flags = data[0]>>4, data[0]&0x0F
	if p.Type == 0 {
		return p, 0, Malformed("packet type 0 is reserved")
	}
	length, n, err := varint(data[1:])
	if err != nil || n == 0 {
		return p, 0, err
	}
	if size = 1 + n + length; size > limit {
		return p, 0, Malformed("a packet of %d bytes, the limit is %d", size, limit)
	}
	if len(data) < size {
		return p, 0, nil
	}
	p.Body = data[1+n : size]
	return p, size, nil
}

// varint reads a variable byte integer (MQTT 5 section 1.5.5); n is 0 when
// bytes are missing.
func varint(data []byte) (value, n int, err error) {
	for i := range 4 {
		if i >= len(data) {
			return 0, 0, nil
		}
		value |= int(data[i]&0x7F) << (7 * i)
		if data[i]&0x80 == 0 {
			if i > 0 && data[i] == 0 {
				return 0, 0, Malformed("a length that takes more bytes than it needs") // [MQTT-1.5.5-1]
			}
			return value, i + 1, nil
		}
	}
	return 0, 0, Malformed("a length of more than four bytes")
}

func appendVarint(dst []byte, value int) []byte {
	for value >= 0x80 {
		dst = append(dst, byte(value)|0x80)
		value >>= 7
	}
	return append(dst, byte(value))
}

// appendString writes a string; callers have checked that it is short enough.
func appendString(dst []byte, text string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
	return append(dst, text...)
}

// Append appends a packet whose body is known.
func Append(dst []byte, kind, flags byte, body []byte) []byte {
	dst = append(dst, kind<<4|flags)
	return append(appendVarint(dst, len(body)), body...)
}

// Stream is what packets are read from, a *bufio.Reader for example.
type Stream interface {
	io.Reader
	io.ByteReader
}

// Unbuffered makes a Stream that takes no byte more than it is asked for.
func Unbuffered(in io.Reader) Stream { return unbuffered{in} }

type unbuffered struct{ io.Reader }

func (u unbuffered) ReadByte() (byte, error) {
	var one [1]byte
	_, err := io.ReadFull(u, one[:])
	return one[0], err
}

// Read reads one packet of at most limit bytes. The body is the caller's own.
func Read(in Stream, limit int) (p Packet, err error) {
	first, err := in.ReadByte()
	if err != nil {
		return p, err
	}
	p.Type, p.Flags = first>>4, first&0x0F
	if p.Type == 0 {
		return p, Malformed("packet type 0 is reserved")
	}
	var head []byte
	length, n := 0, 0
	for n == 0 {
		b, err := in.ReadByte()
		if err != nil {
			return p, unexpected(err)
		}
		head = append(head, b)
		if length, n, err = varint(head); err != nil {
			return p, err
		}
	}
	if 1+n+length > limit {
		return p, Malformed("a packet of %d bytes, the limit is %d", 1+n+length, limit)
	}
	p.Body = make([]byte, length)
	_, err = io.ReadFull(in, p.Body)
	return p, unexpected(err)
}

// unexpected keeps an end within a packet apart from one between two.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

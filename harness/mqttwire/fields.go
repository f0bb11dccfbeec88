package mqttwire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// fields reads the body of a packet from front to back. What is missing makes
// bad true and reads as zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) bytes(n int) []byte {
	if n > len(f.rest) {
		f.bad, f.rest = true, nil
		return nil
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out
}

func (f *fields) byte() byte {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// binary reads a length of two bytes and so many bytes behind it.
func (f *fields) binary() []byte { return f.bytes(int(f.uint16())) }

// text reads a string and holds it to section 1.5.4: UTF-8 without U+0000.
func (f *fields) text() []byte {
	b := f.binary()
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		f.bad = true
	}
	return b
}

func (f *fields) varint() int {
	value, n, err := varint(f.rest)
	if err != nil || n == 0 {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return value
}

// properties are those of MQTT 5 that the harness acts on.
type properties struct {
	reason         string
	keepAlive      uint16 // that the server wants instead, 0 when it does not say
	receiveMaximum uint16 // 0 when the server does not say
	maxPacket      uint32
}

// shapes says how the value of each property is written (section 2.2.2.2).
var shapes = map[byte]byte{
	0x01: '1', 0x17: '1', 0x19: '1', 0x24: '1', 0x25: '1', 0x28: '1', 0x29: '1', 0x2A: '1',
	0x13: '2', 0x21: '2', 0x22: '2', 0x23: '2', 0x02: '4', 0x11: '4', 0x18: '4', 0x27: '4', 0x0B: 'v',
	0x03: 's', 0x08: 's', 0x12: 's', 0x15: 's', 0x1A: 's', 0x1C: 's', 0x1F: 's', 0x09: 'b', 0x16: 'b', 0x26: 'p',
}

// properties reads the properties of a packet.
func (f *fields) properties() (p properties) {
	in := fields{rest: f.bytes(f.varint())}
	for len(in.rest) > 0 && !in.bad {
		id, v := in.property()
		switch {
		case in.bad:
		case id == 0x1F:
			p.reason = string(v.text)
		case id == 0x13:
			p.keepAlive = binary.BigEndian.Uint16(v.text)
		case id == 0x21:
			p.receiveMaximum = binary.BigEndian.Uint16(v.text)
		case id == 0x27:
			p.maxPacket = binary.BigEndian.Uint32(v.text)
		}
	}
	f.bad = f.bad || in.bad
	return p
}

// value is that of a property: text, bytes or a number as it is written, and the
// second text of a pair.
type value struct{ text, second []byte }

// property reads one property.
func (f *fields) property() (id byte, v value) {
	id = f.byte()
	switch shapes[id] {
	case '1':
		v.text = f.bytes(1)
	case '2':
		v.text = f.bytes(2)
	case '4':
		v.text = f.bytes(4)
	case 'v':
		f.varint()
	case 's':
		v.text = f.text()
	case 'b':
		v.text = f.binary()
	case 'p':
		v.text = f.text()
		v.second = f.text()
	default:
		f.bad = true
	}
	return id, v
}

package viewer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The control packets that a viewer meets (MQTT 5 section 2.1.2; 3.1.1 has the
// same but for AUTH, and DISCONNECT from clients only).
const (
	mqttConnect    = 1
	mqttConnack    = 2
	mqttPublish    = 3
	mqttPuback     = 4
	mqttSubscribe  = 8
	mqttSuback     = 9
	mqttPingreq    = 12
	mqttPingresp   = 13
	mqttDisconnect = 14
)

// errMQTT marks what no server may send; the session ends (MQTT 5 section 4.13.1).
var errMQTT = errors.New("malformed MQTT packet")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMQTT, fmt.Sprintf(format, args...))
}

// controlPacket is one packet; body lies in the buffer that it was cut from.
type controlPacket struct {
	kind  byte
	flags byte
	body  []byte
}

// cutPacket cuts the first packet off data. size is 0 when more bytes are
// needed. What the length announces is checked before anything waits for it.
func cutPacket(data []byte) (p controlPacket, size int, err error) {
	if len(data) == 0 {
		return p, 0, nil
	}
	p.kind, p.flags = data[0]>>4, data[0]&0x0F
	if p.kind == 0 {
		return p, 0, malformed("packet type 0 is reserved")
	}
	length, n, err := varint(data[1:])
	if err != nil || n == 0 {
		return p, 0, err
	}
	if size = 1 + n + length; size > frameLimit {
		return p, 0, malformed("a packet of %d bytes, the limit is %d", size, frameLimit)
	}
	if len(data) < size {
		return p, 0, nil
	}
	p.body = data[1+n : size]
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
				return 0, 0, malformed("a length that takes more bytes than it needs") // [MQTT-1.5.5-1]
			}
			return value, i + 1, nil
		}
	}
	return 0, 0, malformed("a length of more than four bytes")
}

func appendVarint(dst []byte, value int) []byte {
	for value >= 0x80 {
		dst = append(dst, byte(value)|0x80)
		value >>= 7
	}
	return append(dst, byte(value))
}

func appendString(dst []byte, text string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text))) //nolint:gosec // connectPacket and subscribePacket check the length
	return append(dst, text...)
}

func appendPacket(dst []byte, kind, flags byte, body []byte) []byte {
	dst = append(dst, kind<<4|flags)
	return append(appendVarint(dst, len(body)), body...)
}

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

// properties are those of MQTT 5 that a viewer acts on.
type properties struct {
	reason    string
	keepAlive uint16 // that the server wants instead, 0 when it does not say
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
		id := in.byte()
		var text []byte
		var number uint16
		switch shapes[id] {
		case '1':
			in.byte()
		case '2':
			number = in.uint16()
		case '4':
			in.bytes(4)
		case 'v':
			in.varint()
		case 's':
			text = in.text()
		case 'b':
			in.binary()
		case 'p':
			in.text()
			in.text()
		default:
			in.bad = true
		}
		switch id {
		case 0x1F:
			p.reason = string(text)
		case 0x13:
			p.keepAlive = number
		}
	}
	f.bad = f.bad || in.bad
	return p
}

// publish is one PUBLISH; topic and payload lie in the packet.
type publish struct {
	topic, payload []byte
	id             uint16 // 0 with QoS 0
	dup, retain    bool
}

// publish reads a PUBLISH (section 3.3) of at most QoS granted.
func (p controlPacket) publish(version, granted byte) (m publish, err error) {
	qos := p.flags >> 1 & 3
	m.dup, m.retain = p.flags&8 != 0, p.flags&1 != 0
	f := fields{rest: p.body}
	m.topic = f.text()
	if qos > 0 {
		m.id = f.uint16()
	}
	if version == 5 {
		f.properties()
	}
	m.payload = f.rest
	switch {
	case f.bad:
		return m, malformed("PUBLISH of %d bytes", len(p.body))
	case len(m.topic) == 0 || bytes.ContainsAny(m.topic, "#+"): // no alias was allowed; [MQTT-3.3.2-2]
		return m, malformed("PUBLISH to %.100q", m.topic)
	case qos > granted:
		return m, malformed("PUBLISH with QoS %d, granted was %d", qos, granted) // section 3.8.4
	case qos == 0 && m.dup:
		return m, malformed("PUBLISH with QoS 0 and DUP") // [MQTT-3.3.1-2]
	case qos > 0 && m.id == 0:
		return m, malformed("PUBLISH with packet identifier 0") // [MQTT-2.2.1-4]
	}
	return m, nil
}

// connection is what a viewer says in CONNECT (section 3.1).
type connection struct {
	version   byte // 4 is MQTT 3.1.1
	client    string
	clean     bool
	keepAlive uint16 // seconds
	expiry    uint32 // of the session, seconds; MQTT 5 only
	username  string // "" sends neither user name nor password
	password  string
}

func (c connection) packet() ([]byte, error) {
	for name, text := range map[string]string{"client identifier": c.client, "user name": c.username, "password": c.password} {
		if len(text) > 0xFFFF {
			return nil, fmt.Errorf("the %s has %d bytes; MQTT can carry 65535", name, len(text))
		}
	}
	var flags byte
	if c.clean {
		flags |= 0x02
	}
	if c.username != "" {
		flags |= 0xC0
	}
	body := append(appendString(nil, "MQTT"), c.version, flags)
	body = binary.BigEndian.AppendUint16(body, c.keepAlive)
	if c.version == 5 {
		if c.expiry > 0 {
			body = append(body, 5, 0x11)
			body = binary.BigEndian.AppendUint32(body, c.expiry)
		} else {
			body = append(body, 0)
		}
	}
	body = appendString(body, c.client)
	if c.username != "" {
		body = appendString(appendString(body, c.username), c.password)
	}
	return appendPacket(nil, mqttConnect, 0, body), nil
}

// subscribePacket asks for all filters at once. With MQTT 5 the flag "retain as
// published" stays off, so that retained is what the session begins with.
func subscribePacket(version byte, id uint16, filters []string, qos byte) ([]byte, error) {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == 5 {
		body = append(body, 0)
	}
	for _, filter := range filters {
		if len(filter) == 0 || len(filter) > 0xFFFF {
			return nil, fmt.Errorf("a filter of %d bytes; MQTT can carry 1 to 65535", len(filter))
		}
		body = append(appendString(body, filter), qos)
	}
	return appendPacket(nil, mqttSubscribe, 2, body), nil
}

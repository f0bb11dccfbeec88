package mqtt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Control packet types (section 2.1.2).
const (
	pktConnect     = 1
	pktConnack     = 2
	pktPublish     = 3
	pktPuback      = 4
	pktPubrec      = 5
	pktPubrel      = 6
	pktPubcomp     = 7
	pktSubscribe   = 8
	pktSuback      = 9
	pktUnsubscribe = 10
	pktUnsuback    = 11
	pktPingreq     = 12
	pktPingresp    = 13
	pktDisconnect  = 14
	pktAuth        = 15
)

var kindNames = [16]string{
	"type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// Protocol levels.
const (
	v311 = 4
	v5   = 5
)

// maxPacket is the longest packet that is taken from a server.
const maxPacket = 4 << 20

// packet is one packet of the server. Fields that its type does not have are zero.
type packet struct {
	kind, flags byte
	id          uint16
	present     bool   // CONNACK: session present
	code        byte   // the reason code; 0 when it was left out
	codes       []byte // SUBACK, UNSUBACK
	topic       string
	payload     []byte
	props       properties
}

func (p packet) qos() byte    { return p.flags >> 1 & 3 }
func (p packet) retain() bool { return p.flags&1 != 0 }
func (p packet) dup() bool    { return p.flags&8 != 0 }

// String names the packet with what a detail needs.
func (p packet) String() string {
	switch p.kind {
	case pktPublish:
		return fmt.Sprintf("PUBLISH %q with QoS %d, id %d, DUP %v, RETAIN %v and %d bytes", p.topic, p.qos(), p.id, p.dup(), p.retain(), len(p.payload))
	case pktSuback, pktUnsuback:
		return fmt.Sprintf("%s with codes %x", kindNames[p.kind], p.codes)
	case pktPingresp:
		return kindNames[p.kind]
	default:
		return fmt.Sprintf("%s with code %#02x", kindNames[p.kind], p.code)
	}
}

// grants reports whether the first code of a SUBACK grants a subscription.
func (p packet) grants() bool { return len(p.codes) > 0 && p.codes[0] < 0x80 }

var errMore = errors.New("more bytes are needed")

// parse takes one packet of a server from the head of b. n is 0 while it is
// not complete. A malformed packet is an error, and n its length when the next
// one can be found.
func parse(version byte, b []byte) (p packet, n int, err error) {
	if len(b) < 2 {
		return p, 0, nil
	}
	length, used, err := varint(b[1:])
	if errors.Is(err, errMore) {
		return p, 0, nil
	}
	if err != nil {
		return p, 0, err
	}
	if length > maxPacket {
		return p, 0, fmt.Errorf("a packet of %d bytes, %d is the most that is taken", length, maxPacket)
	}
	n = 1 + used + length
	if len(b) < n {
		return p, 0, nil
	}
	p.kind, p.flags = b[0]>>4, b[0]&0xf
	r := &reader{b: b[1+used : n]}
	p.read(version, r)
	switch {
	case r.err != nil:
		err = fmt.Errorf("%s: %w", kindNames[p.kind], r.err)
	case len(r.b) > 0:
		err = fmt.Errorf("%s: %d bytes too many", kindNames[p.kind], len(r.b))
	}
	return p, n, err
}

// varint reads a variable byte integer (section 1.5.5).
func varint(b []byte) (value, used int, err error) {
	for i := range 4 {
		if i >= len(b) {
			return 0, 0, errMore
		}
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, 0, errors.New("a length that is not in its shortest form [MQTT-1.5.5-1]")
			}
			return value, i + 1, nil
		}
	}
	return 0, 0, errors.New("a length of more than four bytes")
}

// read reads the body of a packet that a server may send.
func (p *packet) read(version byte, r *reader) {
	if want := byte(0); p.kind != pktPublish {
		if p.kind == pktPubrel {
			want = 2
		}
		if p.flags != want {
			r.fail("flags %04b where they are reserved [MQTT-2.1.3-1]", p.flags)
		}
	}
	switch p.kind {
	case pktConnack:
		ack := r.byte()
		p.present, p.code = ack == 1, r.byte()
		if ack > 1 {
			r.fail("acknowledge flags %08b [MQTT-3.2.2-1]", ack)
		}
		if version == v311 && p.code > 5 {
			r.fail("return code %#02x, which MQTT 3.1.1 does not have", p.code)
		}
		if p.code != 0x01 && p.code != 0x84 || len(r.b) > 0 { // who refuses the version may answer in an older one
			p.readProps(version, r)
		}
	case pktPublish:
		p.readPublish(version, r)
	case pktPuback, pktPubrec, pktPubrel, pktPubcomp:
		p.id = r.id()
		p.readCode(version, r)
	case pktSuback, pktUnsuback:
		p.id = r.id()
		p.readProps(version, r)
		if p.kind == pktSuback || version == v5 {
			p.codes, r.b = r.b, nil
		}
	case pktPingresp:
	case pktDisconnect:
		if version == v311 {
			r.fail("a server of MQTT 3.1.1 must not send it")
		}
		p.readCode(version, r)
	case pktAuth:
		if version == v311 {
			r.fail("MQTT 3.1.1 does not have it")
		}
		p.readCode(version, r)
	default:
		r.fail("a server must not send it")
	}
}

func (p *packet) readPublish(version byte, r *reader) {
	p.topic = r.string()
	if p.qos() == 3 {
		r.fail("QoS 3 [MQTT-3.3.1-4]")
	}
	if p.qos() > 0 {
		p.id = r.id()
	}
	if strings.ContainsAny(p.topic, "+#") {
		r.fail("the topic %q with a wildcard [MQTT-3.3.2-2]", p.topic)
	}
	p.readProps(version, r)
	if alias, _ := p.props.number(propTopicAlias); p.topic == "" && alias == 0 {
		r.fail("an empty topic")
	}
	p.payload, r.b = r.b, nil
}

// readCode reads reason code and properties, both of which may be left out.
func (p *packet) readCode(version byte, r *reader) {
	if version == v311 || len(r.b) == 0 {
		return
	}
	p.code = r.byte()
	if len(r.b) > 0 {
		p.readProps(version, r)
	}
}

func (p *packet) readProps(version byte, r *reader) {
	if version == v5 && r.err == nil {
		p.props = readProperties(p.kind, r)
	}
}

// reader takes fields from a body; the first error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		r.fail("it ends too early")
		return make([]byte, min(n, 8))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

func (r *reader) id() uint16 {
	id := r.uint16()
	if id == 0 {
		r.fail("packet identifier 0 [MQTT-2.2.1-4]")
	}
	return id
}

func (r *reader) binary() []byte {
	n := int(r.uint16())
	if r.err != nil {
		return nil
	}
	return append([]byte(nil), r.take(n)...)
}

func (r *reader) string() string {
	b := r.binary()
	if !utf8.Valid(b) {
		r.fail("a string that is not UTF-8 [MQTT-1.5.4-1]")
	}
	if strings.ContainsRune(string(b), 0) {
		r.fail("a string with U+0000 [MQTT-1.5.4-2]")
	}
	return string(b)
}

func (r *reader) varint() int {
	v, used, err := varint(r.b)
	if err != nil {
		r.fail("a variable byte integer: %w", err)
		return 0
	}
	r.b = r.b[used:]
	return v
}

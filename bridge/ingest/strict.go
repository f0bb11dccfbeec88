package ingest

import (
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// errMalformed ends a connection whose client broke the form of a packet in a way that the library does not see.
var errMalformed = errors.New("malformed packet")

// strict looks at the packets of one client as they come in, for what the library's reader lets pass: of CONNECT properties that
// stand twice, have values that do not exist or end too early, and bytes behind the payload [MQTT-3.1.4-1, MQTT-4.13.1-1]; of
// SUBSCRIBE reserved option bits [MQTT-3.8.3-5]. The zero value waits for CONNECT. Only these two packets are held, and none that
// the library refuses for its length.
type strict struct {
	most  int // the longest packet that the library takes
	kind  byte
	shift int // of the next length digit
	left  int // of the body, or of the length while it is read
	state strictState
	keep  bool
	body  []byte
	v5    bool
	met   bool // CONNECT has been
}

type strictState int

const (
	readsKind strictState = iota
	readsLength
	readsBody
	readsNothing // the stream is beyond understanding; the library ends it
)

// scan takes the next bytes of the stream. It returns how many may be passed on: all, or with errMalformed those before the last
// byte of a malformed packet, so that nobody sees it whole.
func (s *strict) scan(b []byte) (int, error) {
	for i := 0; i < len(b); {
		switch s.state {
		case readsKind:
			s.kind, s.left, s.shift, s.state = b[i]>>4, 0, 0, readsLength
			i++
		case readsLength:
			s.length(b[i])
			i++
			if s.state == readsBody && s.left == 0 && s.whole() != nil {
				return i - 1, errMalformed
			}
		case readsBody:
			n := min(s.left, len(b)-i)
			if s.keep {
				s.body = append(s.body, b[i:i+n]...)
			}
			i += n
			if s.left -= n; s.left == 0 && s.whole() != nil {
				return i - 1, errMalformed
			}
		case readsNothing:
			return len(b), nil
		}
	}
	return len(b), nil
}

// length takes one digit of the remaining length.
func (s *strict) length(digit byte) {
	s.left |= int(digit&0x7f) << s.shift
	s.shift += 7
	switch {
	case digit < 0x80:
		s.keep = s.left <= s.most && (s.kind == packets.Connect && !s.met || s.kind == packets.Subscribe)
		s.state = readsBody
	case s.shift > 21:
		s.state = readsNothing
	}
}

// whole judges a packet whose body is complete, and makes ready for the next.
func (s *strict) whole() (err error) {
	body := s.body
	s.body, s.state = nil, readsKind
	if !s.keep {
		return nil
	}
	r := &fields{b: body}
	if s.kind == packets.Connect {
		s.met = true
		s.v5 = r.connect()
	} else if s.v5 {
		r.subscribe()
	}
	if r.bad {
		return errMalformed
	}
	return nil
}

// fields takes fields from a packet; bad stays once something is wrong. What ends too early outside of properties is left to the
// library, which sees it.
type fields struct {
	b     []byte
	bad   bool
	short bool
}

func (f *fields) take(n int) []byte {
	if f.short || n > len(f.b) {
		f.short = true
		return make([]byte, min(n, 4))
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) byte() byte     { return f.take(1)[0] }
func (f *fields) uint16() uint16 { return binary.BigEndian.Uint16(f.take(2)) }
func (f *fields) skipText()      { f.take(int(f.uint16())) }

// connect walks through a CONNECT and reports whether it is one of MQTT 5.
func (f *fields) connect() bool {
	f.skipText()
	v5 := f.byte() == 5
	flags := f.byte()
	f.uint16()
	if v5 {
		f.properties(connectProperties)
	}
	f.skipText()
	if flags&0x04 != 0 {
		if v5 {
			f.properties(willProperties)
		}
		f.skipText()
		f.skipText()
	}
	if flags&0x80 != 0 {
		f.skipText()
	}
	if flags&0x40 != 0 {
		f.skipText()
	}
	f.bad = f.bad || !f.short && len(f.b) > 0
	return v5
}

// subscribe walks through a SUBSCRIBE of MQTT 5.
func (f *fields) subscribe() {
	f.uint16()
	f.take(f.varint())
	for len(f.b) > 0 && !f.short {
		f.skipText()
		if f.byte()&0xc0 != 0 && !f.short {
			f.bad = true
		}
	}
}

func (f *fields) varint() (n int) {
	for shift := 0; shift < 28; shift += 7 {
		digit := f.byte()
		if n |= int(digit&0x7f) << shift; digit < 0x80 {
			return n
		}
	}
	f.short = true
	return 0
}

// Forms of properties: how many bytes, or one of these.
const (
	formText = -1
	formPair = -2
	formFlag = -3 // one byte, 0 or 1
	formSize = -4 // 16 bits, not 0
	formLong = -5 // 32 bits, not 0
)

// The properties of a CONNECT and of its will (MQTT 5 sections 3.1.2.11 and 3.1.3.2).
var (
	connectProperties = map[byte]int{
		packets.PropSessionExpiryInterval: 4, packets.PropReceiveMaximum: formSize, packets.PropMaximumPacketSize: formLong,
		packets.PropTopicAliasMaximum: 2, packets.PropRequestResponseInfo: formFlag, packets.PropRequestProblemInfo: formFlag,
		packets.PropUser: formPair, packets.PropAuthenticationMethod: formText, packets.PropAuthenticationData: formText,
	}
	willProperties = map[byte]int{
		packets.PropWillDelayInterval: 4, packets.PropPayloadFormat: formFlag, packets.PropMessageExpiryInterval: 4,
		packets.PropContentType: formText, packets.PropResponseTopic: formText, packets.PropCorrelationData: formText, packets.PropUser: formPair,
	}
)

// properties reads a block of these properties, each once but for user properties.
func (f *fields) properties(known map[byte]int) {
	block := &fields{b: f.take(f.varint())}
	if f.short {
		return
	}
	seen := map[byte]bool{}
	for len(block.b) > 0 && !block.short && !block.bad {
		id := block.byte()
		form, defined := known[id]
		block.bad = !defined || seen[id] && form != formPair
		seen[id] = true
		block.value(form)
	}
	alone := seen[packets.PropAuthenticationData] && !seen[packets.PropAuthenticationMethod]
	f.bad = f.bad || block.bad || block.short || alone
}

func (f *fields) value(form int) {
	switch form {
	case formText:
		f.skipText()
	case formPair:
		f.skipText()
		f.skipText()
	case formFlag:
		f.bad = f.bad || f.byte() > 1
	case formSize:
		f.bad = f.bad || f.uint16() == 0
	case formLong:
		f.bad = f.bad || binary.BigEndian.Uint32(f.take(4)) == 0
	default:
		f.take(form)
	}
}

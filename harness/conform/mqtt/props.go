package mqtt

import (
	"encoding/binary"
	"slices"
)

// Property identifiers (section 2.2.2.2).
const (
	propPayloadFormat   = 0x01
	propMessageExpiry   = 0x02
	propContentType     = 0x03
	propResponseTopic   = 0x08
	propCorrelation     = 0x09
	propSubscriptionID  = 0x0b
	propSessionExpiry   = 0x11
	propAssignedID      = 0x12
	propServerKeepAlive = 0x13
	propAuthMethod      = 0x15
	propAuthData        = 0x16
	propProblemInfo     = 0x17
	propWillDelay       = 0x18
	propResponseReq     = 0x19
	propResponseInfo    = 0x1a
	propServerReference = 0x1c
	propReasonString    = 0x1f
	propReceiveMax      = 0x21
	propTopicAliasMax   = 0x22
	propTopicAlias      = 0x23
	propMaxQoS          = 0x24
	propRetainAvailable = 0x25
	propUser            = 0x26
	propMaxPacket       = 0x27
	propWildcards       = 0x28
	propSubscriptionIDs = 0x29
	propShared          = 0x2a
)

// form is how the value of a property is encoded.
type form int

const (
	formByte form = iota + 1
	formUint16
	formUint32
	formVarint
	formString
	formBinary
	formPair
)

// known says of each property how it is encoded and which packets of a server
// may have it.
var known = map[int]struct {
	form form
	in   []byte
}{
	propPayloadFormat:   {formByte, []byte{pktPublish}},
	propMessageExpiry:   {formUint32, []byte{pktPublish}},
	propContentType:     {formString, []byte{pktPublish}},
	propResponseTopic:   {formString, []byte{pktPublish}},
	propCorrelation:     {formBinary, []byte{pktPublish}},
	propSubscriptionID:  {formVarint, []byte{pktPublish}},
	propSessionExpiry:   {formUint32, []byte{pktConnack}},
	propAssignedID:      {formString, []byte{pktConnack}},
	propServerKeepAlive: {formUint16, []byte{pktConnack}},
	propAuthMethod:      {formString, []byte{pktConnack, pktAuth}},
	propAuthData:        {formBinary, []byte{pktConnack, pktAuth}},
	propProblemInfo:     {formByte, nil},
	propWillDelay:       {formUint32, nil},
	propResponseReq:     {formByte, nil},
	propResponseInfo:    {formString, []byte{pktConnack}},
	propServerReference: {formString, []byte{pktConnack, pktDisconnect}},
	propReasonString: {formString, []byte{
		pktConnack, pktPuback, pktPubrec, pktPubrel, pktPubcomp, pktSuback, pktUnsuback, pktDisconnect, pktAuth,
	}},
	propReceiveMax:      {formUint16, []byte{pktConnack}},
	propTopicAliasMax:   {formUint16, []byte{pktConnack}},
	propTopicAlias:      {formUint16, []byte{pktPublish}},
	propMaxQoS:          {formByte, []byte{pktConnack}},
	propRetainAvailable: {formByte, []byte{pktConnack}},
	propUser: {formPair, []byte{
		pktConnack, pktPublish, pktPuback, pktPubrec, pktPubrel, pktPubcomp, pktSuback, pktUnsuback, pktDisconnect, pktAuth,
	}},
	propMaxPacket:       {formUint32, []byte{pktConnack}},
	propWildcards:       {formByte, []byte{pktConnack}},
	propSubscriptionIDs: {formByte, []byte{pktConnack}},
	propShared:          {formByte, []byte{pktConnack}},
}

// property is one property; which fields count depends on its form.
type property struct {
	id         int
	number     uint32
	text       string
	name, pair string
}

type properties []property

func (ps properties) find(id int) (property, bool) {
	i := slices.IndexFunc(ps, func(p property) bool { return p.id == id })
	if i < 0 {
		return property{}, false
	}
	return ps[i], true
}

func (ps properties) number(id int) (uint32, bool) {
	p, found := ps.find(id)
	return p.number, found
}

func (ps properties) numbers(id int) (out []uint32) {
	for _, p := range ps {
		if p.id == id {
			out = append(out, p.number)
		}
	}
	return out
}

// users returns the user properties in their order, as name=value.
func (ps properties) users() (out []string) {
	for _, p := range ps {
		if p.id == propUser {
			out = append(out, p.name+"="+p.pair)
		}
	}
	return out
}

// readProperties reads what a packet of that type from a server may have.
func readProperties(kind byte, r *reader) properties {
	inner := &reader{b: r.take(r.varint())}
	if r.err != nil {
		return nil
	}
	var out properties
	for len(inner.b) > 0 && inner.err == nil {
		p := property{id: inner.varint()}
		k, defined := known[p.id]
		if !defined || !slices.Contains(k.in, kind) {
			inner.fail("property %#02x, which it must not have", p.id)
			break
		}
		many := p.id == propUser || p.id == propSubscriptionID
		if _, again := out.find(p.id); again && !many {
			inner.fail("property %#02x twice", p.id)
		}
		p.read(k.form, inner)
		out = append(out, p)
	}
	if inner.err != nil {
		r.fail("%w", inner.err)
	}
	return out
}

func (p *property) read(f form, r *reader) {
	switch f {
	case formByte:
		p.number = uint32(r.byte())
	case formUint16:
		p.number = uint32(r.uint16())
	case formUint32:
		p.number = r.uint32()
	case formVarint:
		p.number = uint32(r.varint())
	case formString:
		p.text = r.string()
	case formBinary:
		p.text = string(r.binary())
	case formPair:
		p.name, p.pair = r.string(), r.string()
	}
}

// Encoders of properties for what the client sends.

func num(id int, value uint32) []byte {
	out := []byte{byte(id)}
	switch known[id].form {
	case formByte:
		return append(out, byte(value))
	case formUint16:
		return binary.BigEndian.AppendUint16(out, uint16(value))
	case formVarint:
		return append(out, appendVarint(nil, int(value))...)
	default:
		return binary.BigEndian.AppendUint32(out, value)
	}
}

func str(id int, value string) []byte { return append([]byte{byte(id)}, text(value)...) }

func user(name, value string) []byte {
	return append(append([]byte{propUser}, text(name)...), text(value)...)
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func appendVarint(out []byte, n int) []byte {
	for {
		digit := byte(n % 128)
		if n /= 128; n > 0 {
			out = append(out, digit|0x80)
			continue
		}
		return append(out, digit)
	}
}

package mqtt

import (
	"encoding/binary"
	"slices"
)

// frame puts the fixed header before a body.
func frame(first byte, body ...[]byte) []byte {
	all := slices.Concat(body...)
	return append(appendVarint([]byte{first}, len(all)), all...)
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// propsOf encodes properties with their length for version 5, and nothing for 3.1.1.
func propsOf(version byte, props [][]byte) []byte {
	if version != v5 {
		return nil
	}
	all := slices.Concat(props...)
	return append(appendVarint(nil, len(all)), all...)
}

// will of a CONNECT.
type will struct {
	topic, payload string
	qos            byte
	retain         bool
	props          [][]byte
}

// connect is a CONNECT that a case may spoil. flags is or'ed with what the
// fields say.
type connect struct {
	version   byte
	name      string // of the protocol
	level     byte
	flags     byte
	clean     bool
	keepAlive uint16
	props     [][]byte
	id        string
	will      *will
	user      *string
	password  *string
	tail      []byte // behind the payload
}

func (c connect) bytes() []byte {
	flags := c.flags
	payload := text(c.id)
	if c.clean {
		flags |= 0x02
	}
	if w := c.will; w != nil {
		flags |= 0x04 | w.qos<<3
		if w.retain {
			flags |= 0x20
		}
		payload = slices.Concat(payload, propsOf(c.version, w.props), text(w.topic), text(w.payload))
	}
	if c.user != nil {
		flags |= 0x80
		payload = append(payload, text(*c.user)...)
	}
	if c.password != nil {
		flags |= 0x40
		payload = append(payload, text(*c.password)...)
	}
	return frame(pktConnect<<4, text(c.name), []byte{c.level, flags}, u16(c.keepAlive), propsOf(c.version, c.props), payload, c.tail)
}

// publish is a PUBLISH that a case may spoil.
type publish struct {
	topic   string
	payload string
	qos     byte
	retain  bool
	dup     bool
	id      uint16
	props   [][]byte
}

func (p publish) bytes(version byte) []byte {
	first := byte(pktPublish<<4) | p.qos<<1
	if p.retain {
		first |= 1
	}
	if p.dup {
		first |= 8
	}
	var id []byte
	if p.qos > 0 {
		id = u16(p.id)
	}
	return frame(first, text(p.topic), id, propsOf(version, p.props), []byte(p.payload))
}

// ack is PUBACK, PUBREC, PUBREL or PUBCOMP in its short form.
func ack(kind byte, id uint16) []byte {
	first := kind << 4
	if kind == pktPubrel {
		first |= 2
	}
	return frame(first, u16(id))
}

// filter is one topic filter with its options.
type filter struct {
	text    string
	options byte
}

func subscribe(version byte, id uint16, props [][]byte, filters ...filter) []byte {
	var body []byte
	for _, f := range filters {
		body = append(append(body, text(f.text)...), f.options)
	}
	return frame(pktSubscribe<<4|2, u16(id), propsOf(version, props), body)
}

func unsubscribe(version byte, id uint16, filters ...string) []byte {
	var body []byte
	for _, f := range filters {
		body = append(body, text(f)...)
	}
	return frame(pktUnsubscribe<<4|2, u16(id), propsOf(version, nil), body)
}

var (
	pingreq = []byte{pktPingreq << 4, 0}
	goodbye = []byte{pktDisconnect << 4, 0}
)

// disconnect is one with a reason code and properties, for version 5.
func disconnect(code byte, props ...[]byte) []byte {
	return frame(pktDisconnect<<4, []byte{code}, propsOf(v5, props))
}

package main

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// properties: what a message says about itself.
var properties = map[string]maker{"F37": loseProperties, "F37m": sortProperties}

// Properties of PUBLISH (MQTT 5.0 section 3.3.2.3) that flaws know.
const (
	propContentType = 0x03
	propUser        = 0x26
)

// property is one property as it stands in a packet, with its identifier.
type property struct {
	id    byte
	whole []byte
}

// name returns the name of a user property.
func (p property) name() string {
	return string(p.whole[3 : 3+binary.BigEndian.Uint16(p.whole[1:])])
}

// properties takes the properties out of a PUBLISH of MQTT 5; ok is false for
// what is none, or not whole. before and after are the rest of the body.
func (p packet) properties() (before []byte, all []property, after []byte, ok bool) {
	topic, id := p.publish()
	at := 2 + len(topic)
	if id != 0 {
		at += 2
	}
	if p.kind() != mqttPublish || len(p.body) <= at {
		return nil, nil, nil, false
	}
	size, n := binary.Uvarint(p.body[at:])
	if n <= 0 || uint64(len(p.body)-at-n) < size {
		return nil, nil, nil, false
	}
	rest := p.body[at+n : at+n+int(size)]
	for len(rest) > 0 {
		n := propertySize(rest)
		if n == 0 || n > len(rest) {
			return nil, nil, nil, false
		}
		all = append(all, property{rest[0], rest[:n]})
		rest = rest[n:]
	}
	return p.body[:at], all, p.body[at+n+int(size):], true
}

// propertySize returns how many bytes the first property takes, 0 when that
// cannot be told.
func propertySize(b []byte) int {
	text := func(at int) int { // where a text that begins there ends
		if at == 0 || len(b) < at+2 {
			return 0
		}
		return at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	switch b[0] {
	case 0x01:
		return 2
	case 0x02:
		return 5
	case 0x23:
		return 3
	case 0x0b:
		if _, n := binary.Uvarint(b[1:]); n > 0 {
			return 1 + n
		}
		return 0
	case propContentType, 0x08, 0x09:
		return text(1)
	case propUser:
		return text(text(1))
	}
	return 0
}

// withProperties returns the packet with other properties.
func (p packet) withProperties(before []byte, all []property, after []byte) packet {
	var said []byte
	for _, one := range all {
		said = append(said, one.whole...)
	}
	body := binary.AppendUvarint(slices.Clone(before), uint64(len(said)))
	return packet{first: p.first, body: append(append(body, said...), after...)}
}

// changeProperties is a flaw that changes what messages to viewers of MQTT say.
func changeProperties(f *front, to func([]property) []property) *flaw {
	return &flaw{toMQTT: func(l *link, p packet) bool {
		before, all, after, ok := p.properties()
		if !ok {
			return true
		}
		other := p.withProperties(before, to(slices.Clone(all)), after)
		if bytes.Equal(other.body, p.body) {
			return true
		}
		f.count.fire()
		_ = l.answer(other) // a viewer that is gone needs none
		return false
	}}
}

// loseProperties (F37) passes on neither content types nor user properties.
func loseProperties(f *front, _ param) *flaw {
	return changeProperties(f, func(all []property) []property {
		return slices.DeleteFunc(all, func(p property) bool { return p.id == propContentType || p.id == propUser })
	})
}

// sortProperties (F37m) keeps user properties in a map: of two of one name the
// first is lost, and their order is that of the names.
func sortProperties(f *front, _ param) *flaw {
	return changeProperties(f, func(all []property) []property {
		last := map[string]property{}
		kept := slices.DeleteFunc(all, func(p property) bool {
			if p.id == propUser {
				last[p.name()] = p
			}
			return p.id == propUser
		})
		user := make([]property, 0, len(last))
		for _, p := range last {
			user = append(user, p)
		}
		slices.SortFunc(user, func(a, b property) int { return strings.Compare(a.name(), b.name()) })
		return append(kept, user...)
	})
}

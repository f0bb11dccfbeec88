package mqttwire

import (
	"bytes"
	"fmt"
	"slices"
)

// Properties are what the sender of an MQTT 5 message says about it and every
// server passes on unaltered (section 3.3.2.3). The zero value says nothing.
type Properties struct {
	Text          bool        `json:"text,omitempty"` // payload format indicator 1: the payload is UTF-8
	ContentType   string      `json:"content_type,omitempty"`
	ResponseTopic string      `json:"response_topic,omitempty"`
	Correlation   []byte      `json:"correlation,omitempty"` // data for the response
	User          [][2]string `json:"user,omitempty"`        // names and values in their order; a name may stand there twice
}

// Equal reports whether both say the same, user properties in the same order
// [MQTT-3.3.2-18].
func (p Properties) Equal(q Properties) bool {
	return p.Text == q.Text && p.ContentType == q.ContentType && p.ResponseTopic == q.ResponseTopic &&
		bytes.Equal(p.Correlation, q.Correlation) && slices.Equal(p.User, q.User)
}

// append appends the properties as they stand in PUBLISH, without their length.
func (p Properties) append(dst []byte) ([]byte, error) {
	for _, text := range []string{p.ContentType, p.ResponseTopic, string(p.Correlation)} {
		if len(text) > 0xFFFF {
			return dst, fmt.Errorf("a property of %d bytes; MQTT can carry 65535", len(text))
		}
	}
	if p.Text {
		dst = append(dst, 0x01, 1)
	}
	if p.ContentType != "" {
		dst = appendString(append(dst, 0x03), p.ContentType)
	}
	if p.ResponseTopic != "" {
		dst = appendString(append(dst, 0x08), p.ResponseTopic)
	}
	if len(p.Correlation) > 0 {
		dst = appendString(append(dst, 0x09), string(p.Correlation))
	}
	for _, u := range p.User {
		if len(u[0]) > 0xFFFF || len(u[1]) > 0xFFFF {
			return dst, fmt.Errorf("a user property of %d and %d bytes; MQTT can carry 65535 each", len(u[0]), len(u[1]))
		}
		dst = appendString(appendString(append(dst, 0x26), u[0]), u[1])
	}
	return dst, nil
}

// properties returns those of a message, with their length.
func (m Message) properties() (out []byte, err error) {
	if m.Extra != nil {
		if out, err = m.Extra.append(nil); err != nil {
			return nil, err
		}
	}
	if m.User[0] != "" {
		if out, err = (Properties{User: [][2]string{m.User}}).append(out); err != nil {
			return nil, err
		}
	}
	return append(appendVarint(nil, len(out)), out...), nil
}

// Properties reads what a message that was read says about itself; nothing for
// one of MQTT 3.1.1. The result shares no memory with the packet.
func (m Message) Properties() (p Properties) {
	f := fields{rest: m.said}
	in := fields{rest: f.bytes(f.varint())}
	for len(in.rest) > 0 && !in.bad {
		id, v := in.property()
		switch id {
		case 0x01:
			p.Text = len(v.text) == 1 && v.text[0] == 1
		case 0x03:
			p.ContentType = string(v.text)
		case 0x08:
			p.ResponseTopic = string(v.text)
		case 0x09:
			p.Correlation = bytes.Clone(v.text)
		case 0x26:
			p.User = append(p.User, [2]string{string(v.text), string(v.second)})
		}
	}
	return p
}

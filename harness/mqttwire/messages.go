package mqttwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Message is one PUBLISH. What Packet.Message returns lies in the packet.
type Message struct {
	Topic, Payload []byte
	ID             uint16 // packet identifier, 0 with QoS 0
	QoS            byte
	Dup, Retain    bool
	User           [2]string   // name and value of a user property (MQTT 5); written only, and not without a name
	Extra          *Properties // said before it (MQTT 5); written only, nil for nothing

	said []byte // properties as they were read, with their length
}

// Message reads a PUBLISH (section 3.3) of at most QoS granted. No topic alias
// is understood, because the harness never allows one.
func (p Packet) Message(version, granted byte) (m Message, err error) {
	m.QoS, m.Dup, m.Retain = p.Flags>>1&3, p.Flags&8 != 0, p.Flags&1 != 0
	f := fields{rest: p.Body}
	m.Topic = f.text()
	if m.QoS > 0 {
		m.ID = f.uint16()
	}
	if version == V5 {
		m.said = f.rest
		f.properties()
		m.said = m.said[:len(m.said)-len(f.rest)]
	}
	m.Payload = f.rest
	switch {
	case f.bad:
		return m, Malformed("PUBLISH of %d bytes", len(p.Body))
	case len(m.Topic) == 0 || bytes.ContainsAny(m.Topic, "#+"): // [MQTT-3.3.2-2]
		return m, Malformed("PUBLISH to %.100q", m.Topic)
	case m.QoS > granted:
		return m, Malformed("PUBLISH with QoS %d, granted was %d", m.QoS, granted) // section 3.8.4
	case m.QoS == 0 && m.Dup:
		return m, Malformed("PUBLISH with QoS 0 and DUP") // [MQTT-3.3.1-2]
	case m.QoS > 0 && m.ID == 0:
		return m, Malformed("PUBLISH with packet identifier 0") // [MQTT-2.2.1-4]
	}
	return m, nil
}

// AppendPuback appends the PUBACK (section 3.4) that accepts a message.
func AppendPuback(dst []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, TypePuback<<4, 2), id)
}

// Connection is what a client says in CONNECT (section 3.1).
type Connection struct {
	Version   byte
	ClientID  string
	Clean     bool
	KeepAlive uint16 // seconds
	Expiry    uint32 // of the session, seconds; MQTT 5 only
	Username  string // "" leaves it out, and the password too
	Password  string
	Will      *Will // nil for none
}

// Will is the message that a server publishes for a client whose connection ends
// without DISCONNECT (MQTT 5.0 section 3.1.2.5), without delay.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Packet returns CONNECT.
func (c Connection) Packet() ([]byte, error) {
	for name, text := range map[string]string{"client identifier": c.ClientID, "user name": c.Username, "password": c.Password} {
		if len(text) > 0xFFFF {
			return nil, fmt.Errorf("the %s has %d bytes; MQTT can carry 65535", name, len(text))
		}
	}
	var flags byte
	if c.Clean {
		flags |= 0x02
	}
	if c.Username != "" {
		flags |= 0xC0
	}
	if w := c.Will; w != nil {
		if len(w.Topic) > 0xFFFF || len(w.Payload) > 0xFFFF || w.QoS > 2 {
			return nil, fmt.Errorf("a will with a topic of %d and a payload of %d bytes, QoS %d; MQTT can carry 65535 each and 2", len(w.Topic), len(w.Payload), w.QoS)
		}
		flags |= 0x04 | w.QoS<<3
		if w.Retain {
			flags |= 0x20
		}
	}
	body := append(appendString(nil, "MQTT"), c.Version, flags)
	body = binary.BigEndian.AppendUint16(body, c.KeepAlive)
	if c.Version == V5 {
		if c.Expiry > 0 {
			body = append(body, 5, 0x11)
			body = binary.BigEndian.AppendUint32(body, c.Expiry)
		} else {
			body = append(body, 0)
		}
	}
	body = appendString(body, c.ClientID)
	if w := c.Will; w != nil {
		if c.Version == V5 {
			body = append(body, 0) // no properties
		}
		body = appendString(appendString(body, w.Topic), string(w.Payload))
	}
	if c.Username != "" {
		body = appendString(appendString(body, c.Username), c.Password)
	}
	return Append(nil, TypeConnect, 0, body), nil
}

// Answer is what a server says to CONNECT (section 3.2), or in DISCONNECT.
type Answer struct {
	Present        bool // the server kept the session
	Code           byte // 0 is yes
	Reason         string
	KeepAlive      uint16 // seconds that the server wants instead, 0 when it does not say
	ReceiveMaximum uint16 // of QoS 1 messages on their way, 0 when it does not say
	MaxPacket      uint32 // bytes of the largest packet that the server takes, 0 when it does not say
}

// Connack reads CONNACK. Reason is never "" when Code is not 0.
func (p Packet) Connack(version byte) (a Answer, err error) {
	f := fields{rest: p.Body}
	flags := f.byte()
	a.Present, a.Code = flags == 1, f.byte()
	// A server that refuses the version may answer in an older one.
	if version == V5 && len(f.rest) > 0 {
		told := f.properties()
		a.Reason, a.KeepAlive, a.ReceiveMaximum, a.MaxPacket = told.reason, told.keepAlive, told.receiveMaximum, told.maxPacket
	}
	if f.bad || len(f.rest) > 0 || flags > 1 {
		return a, Malformed("CONNACK of %d bytes", len(p.Body))
	}
	if a.Reason == "" {
		a.Reason = ReasonName(a.Code)
	}
	return a, nil
}

// Disconnect reads the DISCONNECT of an MQTT 5 server (section 3.14).
func (p Packet) Disconnect() (a Answer, err error) {
	f := fields{rest: p.Body}
	if len(f.rest) > 0 {
		a.Code = f.byte()
	}
	if len(f.rest) > 0 {
		a.Reason = f.properties().reason
	}
	if f.bad || len(f.rest) > 0 {
		return a, Malformed("DISCONNECT of %d bytes", len(p.Body))
	}
	if a.Reason == "" {
		a.Reason = ReasonName(a.Code)
	}
	return a, nil
}

// Goodbye returns the DISCONNECT of a client. forget makes an MQTT 5 server drop a
// session that was to outlive the connection; MQTT 3.1.1 cannot say so.
func Goodbye(version byte, forget bool) []byte {
	if version == V5 && forget {
		return []byte{TypeDisconnect << 4, 7, 0, 5, 0x11, 0, 0, 0, 0} // normal disconnection, session expiry 0
	}
	return []byte{TypeDisconnect << 4, 0}
}

// Subscription is a SUBSCRIBE (section 3.8) for several filters on one QoS.
type Subscription struct {
	Version byte
	ID      uint16
	Filters []string
	QoS     byte
	Fresh   bool // MQTT 5: leave out what is retained; MQTT 3.1.1 cannot say so
}

// Packet returns SUBSCRIBE. The flag "retain as published" stays off, so that a
// retained message is one that was there before.
func (s Subscription) Packet() ([]byte, error) {
	options := s.QoS
	body := binary.BigEndian.AppendUint16(nil, s.ID)
	if s.Version == V5 {
		body = append(body, 0)
		if s.Fresh {
			options |= 2 << 4
		}
	}
	for _, filter := range s.Filters {
		if len(filter) == 0 || len(filter) > 0xFFFF {
			return nil, fmt.Errorf("a filter of %d bytes; MQTT can carry 1 to 65535", len(filter))
		}
		body = append(appendString(body, filter), options)
	}
	return Append(nil, TypeSubscribe, 2, body), nil
}

// Answered reads the SUBACK (section 3.9) to s: one reason code for each filter,
// of which 0x80 and above refuse. granted is the highest QoS among the others.
func (p Packet) Answered(s Subscription) (codes []byte, granted byte, err error) {
	f := fields{rest: p.Body}
	id := f.uint16()
	if s.Version == V5 {
		f.properties()
	}
	if f.bad || id != s.ID || len(f.rest) != len(s.Filters) {
		return nil, 0, Malformed("SUBACK of %d bytes for packet %d with %d reason codes", len(p.Body), id, len(f.rest))
	}
	for _, code := range f.rest {
		switch {
		case code >= 0x80:
		case code > s.QoS:
			return nil, 0, Malformed("SUBACK grants QoS %d, asked for was %d", code, s.QoS)
		default:
			granted = max(granted, code)
		}
	}
	return f.rest, granted, nil
}

// Puback reads the PUBACK (section 3.4) for a message. A code of 0x80 and above
// says that the server did not take it; MQTT 3.1.1 cannot say so.
func (p Packet) Puback(version byte) (id uint16, code byte, err error) {
	f := fields{rest: p.Body}
	id = f.uint16()
	if version == V5 && len(f.rest) > 0 {
		code = f.byte()
	}
	if version == V5 && len(f.rest) > 0 {
		f.properties()
	}
	if f.bad || len(f.rest) > 0 {
		return 0, 0, Malformed("PUBACK of %d bytes", len(p.Body))
	}
	return id, code, nil
}

// largest is the longest that a packet can be behind its fixed header (section 2.1.4).
const largest = 1<<28 - 1

func fits(size int) error {
	if size > largest {
		return fmt.Errorf("a message of %d bytes with its topic and properties; MQTT can carry %d", size, largest)
	}
	return nil
}

// AppendMessage appends a PUBLISH.
func AppendMessage(dst []byte, version byte, m Message) ([]byte, error) {
	if len(m.Topic) == 0 || len(m.Topic) > 0xFFFF {
		return dst, fmt.Errorf("a topic of %d bytes; MQTT can carry 1 to 65535", len(m.Topic))
	}
	flags := m.QoS << 1
	if m.Dup {
		flags |= 8
	}
	if m.Retain {
		flags |= 1
	}
	size := 2 + len(m.Topic) + len(m.Payload)
	if m.QoS > 0 {
		size += 2
	}
	var said []byte
	if version == V5 {
		var err error
		if said, err = m.properties(); err != nil {
			return dst, err
		}
		size += len(said)
	}
	if err := fits(size); err != nil {
		return dst, err
	}
	dst = appendVarint(append(dst, TypePublish<<4|flags), size)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(m.Topic))), m.Topic...)
	if m.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, m.ID)
	}
	return append(append(dst, said...), m.Payload...), nil
}

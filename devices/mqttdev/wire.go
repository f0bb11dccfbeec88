package mqttdev

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Packet types of MQTT 3.1.1 section 2.2.1.
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typeSubscribe  = 8
	typeSuback     = 9
	typePingreq    = 12
	typeDisconnect = 14
)

// packetLimit bounds what a broker may send in one packet, whatever it announces.
const packetLimit = 16 << 20

// errMalformed marks what a broker must not send.
var errMalformed = errors.New("malformed packet of the broker")

// packet spells a packet (section 2.2).
func packet(first byte, body []byte) []byte {
	out := []byte{first}
	for n := len(body); ; {
		digit := byte(n & 0x7F)
		if n >>= 7; n > 0 {
			out = append(out, digit|0x80)
			continue
		}
		return append(append(out, digit), body...)
	}
}

func appendText(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(text))), text...)
}

// connectPacket spells CONNECT (section 3.1).
func connectPacket(cfg linkConfig) []byte {
	var flags byte
	if !cfg.keep {
		flags |= 0x02
	}
	if w := cfg.will; w != nil {
		flags |= 0x04 | w.qos<<3
		if w.retain {
			flags |= 0x20
		}
	}
	if cfg.username != "" {
		flags |= 0x80
		if len(cfg.password) > 0 { // never without a user name [MQTT-3.1.2-22]
			flags |= 0x40
		}
	}
	body := append(appendText(nil, "MQTT"), 4, flags)
	body = binary.BigEndian.AppendUint16(body, uint16(keepAlive.Seconds()))
	body = appendText(body, cfg.clientID)
	if w := cfg.will; w != nil {
		body = appendText(appendText(body, w.topic), string(w.payload))
	}
	if flags&0x80 != 0 {
		body = appendText(body, cfg.username)
	}
	if flags&0x40 != 0 {
		body = appendText(body, string(cfg.password))
	}
	return packet(typeConnect<<4, body)
}

// refusal says what a return code of CONNACK means (section 3.2.2.3).
func refusal(code byte) string {
	names := []string{"accepted", "it does not speak MQTT 3.1.1", "it does not like the client identifier", "it is not available", "wrong user name or password", "not authorised"}
	if int(code) < len(names) {
		return names[code]
	}
	return fmt.Sprintf("return code 0x%02X", code)
}

func subscribePacket(id uint16, filter string, qos byte) []byte {
	return packet(typeSubscribe<<4|2, append(appendText(binary.BigEndian.AppendUint16(nil, id), filter), qos))
}

func publishPacket(id uint16, m message) []byte {
	first := byte(typePublish<<4) | m.qos<<1
	if m.retain {
		first |= 1
	}
	body := appendText(nil, m.topic)
	if m.qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(first, append(body, m.payload...))
}

func pubackPacket(id uint16) []byte {
	return packet(typePuback<<4, binary.BigEndian.AppendUint16(nil, id))
}

// readPacket reads one packet: its first byte and its body. Memory grows with
// what came, not with what was announced.
func readPacket(in *bufio.Reader) (first byte, body []byte, err error) {
	if first, err = in.ReadByte(); err != nil {
		return 0, nil, err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		digit, err := in.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		length |= int(digit&0x7F) << shift
		if digit < 0x80 {
			break
		}
		if shift == 21 {
			return 0, nil, fmt.Errorf("%w: a length of more than four bytes", errMalformed)
		}
	}
	if length > packetLimit {
		return 0, nil, fmt.Errorf("%w: it announces %d bytes; at most %d are read", errMalformed, length, packetLimit)
	}
	for len(body) < length {
		have := len(body)
		body = slices.Grow(body, min(length-have, max(have, 4096)))
		body = body[:min(length, cap(body))]
		if _, err := io.ReadFull(in, body[have:]); err != nil {
			return 0, nil, err
		}
	}
	return first, body, nil
}

// readPublish reads a PUBLISH (section 3.3) of QoS 0 or 1.
func readPublish(first byte, body []byte) (m message, id uint16, err error) {
	m.qos, m.retain = first>>1&3, first&1 == 1
	if len(body) < 2 || m.qos > 1 {
		return m, 0, fmt.Errorf("%w: PUBLISH of %d bytes with QoS %d", errMalformed, len(body), m.qos)
	}
	size := int(binary.BigEndian.Uint16(body))
	rest := body[2:]
	if len(rest) < size || !utf8.Valid(rest[:size]) {
		return m, 0, fmt.Errorf("%w: PUBLISH of %d bytes with a topic of %d", errMalformed, len(body), size)
	}
	m.topic, rest = string(rest[:size]), rest[size:]
	if m.qos > 0 {
		if len(rest) < 2 {
			return m, 0, fmt.Errorf("%w: PUBLISH without packet identifier", errMalformed)
		}
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	m.payload = rest
	return m, id, nil
}

// readAnswer reads PUBACK (section 3.4) or SUBACK (section 3.9). A subscription
// that was refused is an error.
func readAnswer(first byte, body []byte) (id uint16, err error) {
	want := 2
	if first>>4 == typeSuback {
		want = 3 // for one filter
	}
	if len(body) != want {
		return 0, fmt.Errorf("%w: an answer of type %d and %d bytes", errMalformed, first>>4, len(body))
	}
	if want == 3 && body[2] >= 0x80 {
		err = errors.New("the broker refuses the subscription")
	}
	return binary.BigEndian.Uint16(body), err
}

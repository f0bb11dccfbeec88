package fault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// PacketType is an MQTT control packet type (MQTT 5.0 section 2.1.2).
type PacketType byte

// The types; AnyPacket is for rules on all of them.
const (
	AnyPacket PacketType = iota
	Connect
	Connack
	Publish
	Puback
	Pubrec
	Pubrel
	Pubcomp
	Subscribe
	Suback
	Unsubscribe
	Unsuback
	Pingreq
	Pingresp
	Disconnect
	Auth // MQTT 5 only
)

var packetNames = [...]string{
	"packet", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String implements fmt.Stringer.
func (t PacketType) String() string {
	if int(t) < len(packetNames) {
		return packetNames[t]
	}
	return fmt.Sprintf("packet type %d", byte(t))
}

// PacketRule says what happens to which packets. Packets of more than 1 MiB
// pass untouched and are not counted.
type PacketRule struct {
	Way  Direction     // Both counts each way on its own
	Type PacketType    // AnyPacket is for every type
	When When          // required
	Do   Do            // required; not Split and not CloseCode
	By   time.Duration // of Delay
	Seed uint64        // of Probability and of the bit that Corrupt flips
}

// name says it with all parameters.
func (r PacketRule) name() string {
	by := ""
	if r.By != 0 {
		by = " by " + r.By.String()
	}
	return fmt.Sprintf("MQTT %s %s%s, %s, %s (seed %d)", r.Do, r.Type, by, r.When, r.Way, r.Seed)
}

// PacketFault does to MQTT packets what the rule says. The proxy must look at
// MQTT. It fires for each packet.
func (p *Proxy) PacketFault(r PacketRule) Counted {
	spec := rule{
		when: r.When, do: r.Do, by: r.By, seed: r.Seed, change: corruptPacket,
		about: func(kind byte) bool { return r.Type == AnyPacket || PacketType(kind) == r.Type },
		label: func(kind byte) string { return PacketType(kind).String() },
	}
	if r.Type > Auth || r.Do == Split || r.Do == CloseCode {
		spec.do, spec.change = max(r.Do, Corrupt), nil // refused when it is injected
	}
	return p.ruleFault(r.name(), MQTT, r.Way, spec)
}

// PingStarvationFault swallows every PINGRESP: the broker seems to be dead to
// clients that have nothing else to say (MQTT 5.0 section 3.1.2.10).
func (p *Proxy) PingStarvationFault() Counted {
	return p.PacketFault(PacketRule{Way: Downstream, Type: Pingresp, When: When{Every: 1}, Do: Drop})
}

// corruptPacket flips a bit behind the fixed header, so that the stream keeps
// its packets; of a packet that has nothing there it flips one of the flags.
func corruptPacket(u unit, rnd *rand.Rand) ([]byte, bool) {
	data := append([]byte(nil), u.data...)
	size, header := binary.Uvarint(data[1:])
	at, bits := 0, 4
	if size > 0 {
		at, bits = 1+header+rnd.IntN(int(size)), 8
	}
	data[at] ^= 1 << rnd.IntN(bits)
	return data, true
}

// Reasons why a stream is no MQTT.
var (
	errNoMQTT     = errors.New("it does not begin as MQTT does")
	errPacketType = errors.New("a control packet of type 0, which is forbidden [MQTT-2.1.2]")
	errLength     = errors.New("a remaining length of more than four bytes [MQTT-1.5.5-1]")
)

// packets splits one way of an MQTT connection.
type packets struct {
	holder
	first PacketType // that must come first; AnyPacket once it has come
	skip  int        // bytes of a packet above the limit that are still to come
}

var _ splitter = (*packets)(nil)

// feed implements splitter.
func (s *packets) feed(out []unit, p []byte) ([]unit, error) {
	p = s.join(p)
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			out = append(out, unit{kind: opaque, data: p[:n:n]})
			s.skip -= n
			p = p[n:]
			continue
		}
		size, err := packetSize(p)
		if err == nil && s.first != AnyPacket {
			err = s.begin(PacketType(p[0] >> 4))
		}
		switch {
		case err != nil:
			return append(out, unit{kind: opaque, data: p}), err
		case size > unitLimit:
			s.skip = size
		case size == 0 || size > len(p):
			s.keep(p)
			return out, nil
		default:
			out = append(out, unit{kind: p[0] >> 4, data: p[:size:size]})
			p = p[size:]
		}
	}
	return out, nil
}

// begin checks the first packet of this way [MQTT-3.1.0-1], [MQTT-3.2.0-1].
func (s *packets) begin(t PacketType) error {
	if t != s.first && (s.first != Connack || t != Auth && t != Disconnect) {
		return errNoMQTT
	}
	s.first = AnyPacket
	return nil
}

// packetSize returns the size of the packet that p begins with, 0 when its
// length has not come whole.
func packetSize(p []byte) (int, error) {
	if p[0]>>4 == 0 {
		return 0, errPacketType
	}
	length := 0
	for i := 1; i <= 4; i++ {
		if i >= len(p) {
			return 0, nil
		}
		length |= int(p[i]&0x7f) << (7 * (i - 1))
		if p[i] < 0x80 {
			return 1 + i + length, nil
		}
	}
	return 0, errLength
}

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Control packets of MQTT 5.0 section 2.1.2, as first bytes without flags.
const (
	mqttConnect    = 0x10
	mqttPublish    = 0x30
	mqttPuback     = 0x40
	mqttUnsuback   = 0xb0
	mqttDisconnect = 0xe0
)

// packet is one MQTT control packet. The flaw tells versions 3.1.1 and 5 apart
// nowhere: what it looks at is alike in both.
type packet struct {
	first byte
	body  []byte
}

func (p packet) kind() byte { return p.first & 0xf0 }

// publish returns the topic of a PUBLISH and its packet id, 0 for QoS 0.
func (p packet) publish() (topic string, id uint16) {
	if len(p.body) < 2 {
		return "", 0
	}
	n := int(binary.BigEndian.Uint16(p.body))
	if len(p.body) < 2+n+2 {
		return "", 0
	}
	topic = string(p.body[2 : 2+n])
	if p.first&0x06 != 0 {
		id = binary.BigEndian.Uint16(p.body[2+n:])
	}
	return topic, id
}

// clientID returns the client identifier of a CONNECT and where it stands in the
// body (MQTT 5.0 section 3.1), 0 when it cannot be found.
func (p packet) clientID() (at int, id string) {
	const fixed = 10 // name, version, flags, keep alive
	if len(p.body) < fixed+3 {
		return 0, ""
	}
	at = fixed
	if p.body[6] == 5 {
		size, n := binary.Uvarint(p.body[at:])
		if n <= 0 || uint64(len(p.body)) < uint64(at+n)+size+2 {
			return 0, ""
		}
		at += n + int(size)
	}
	n := int(binary.BigEndian.Uint16(p.body[at:]))
	if len(p.body) < at+2+n {
		return 0, ""
	}
	return at, string(p.body[at+2 : at+2+n])
}

// puback acknowledges a packet id, in the short form that both versions have.
func puback(id uint16) packet {
	return packet{first: mqttPuback, body: []byte{byte(id >> 8), byte(id)}}
}

func (p packet) append(dst []byte) []byte {
	dst = append(dst, p.first)
	for n := len(p.body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			dst = append(dst, b|0x80)
			continue
		}
		dst = append(dst, b)
		return append(dst, p.body...)
	}
}

var errPacket = errors.New("malformed packet")

// readPacket reads one packet. With an error comes what there was of it.
func readPacket(in *bufio.Reader) (p packet, err error) {
	if p.first, err = in.ReadByte(); err != nil {
		return p, err
	}
	size := 0
	for shift := 0; ; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return p, err
		}
		size |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
		if shift > 14 {
			return p, errPacket
		}
	}
	p.body = make([]byte, size)
	n, err := io.ReadFull(in, p.body)
	p.body = p.body[:n] // what came of it
	return p, err
}

// link is one connection of a device.
type link struct {
	f              *front
	device, broker net.Conn
	began          time.Time
	published      uint64
	parted         bool // the device said DISCONNECT, where the flaw asks
	toDevice       sync.Mutex
	toBroker       sync.Mutex

	mu    sync.Mutex
	acked map[uint16]bool // acknowledged here: the answer of the broker is not passed on
}

// hooks are those of a flaw for one kind of connection; see flaw.
type hooks struct {
	fromDevice, fromBroker func(*link, packet) bool
	cutOff                 func(*link, packet)
	lost                   func(*link)
}

// serveDevice relays one connection of a device.
func (f *front) serveDevice(device net.Conn) {
	f.link(device, hooks{fromDevice: f.flaw.fromDevice, fromBroker: f.flaw.fromBroker, cutOff: f.flaw.cutOff, lost: f.flaw.deviceLost})
}

// link relays packets between a client and the broker of the bridge.
func (f *front) link(device net.Conn, h hooks) {
	broker, err := (&net.Dialer{Timeout: handshakeLimit}).DialContext(context.Background(), "tcp", f.opts.brokerTo)
	if err != nil || !f.hold(broker) {
		return
	}
	defer f.forget(broker)
	l := &link{f: f, device: device, broker: broker, began: time.Now(), acked: map[uint16]bool{}}
	var ways sync.WaitGroup
	ways.Go(func() {
		part := l.carry(bufio.NewReader(device), h.fromDevice, l.send)
		if h.cutOff != nil && len(part.body) > 0 {
			h.cutOff(l, part)
		}
		if h.lost != nil {
			h.lost(l)
		}
		_ = broker.Close()
	})
	_ = l.carry(bufio.NewReader(broker), h.fromBroker, l.answer) // of what the broker had no time to say nobody learns
	_ = device.Close()
	ways.Wait()
}

// carry passes packets on that the flaw leaves alone. It returns what came of a
// last one that was cut off.
func (l *link) carry(in *bufio.Reader, flaw func(*link, packet) bool, to func(packet) error) packet {
	for {
		p, err := readPacket(in)
		if err != nil {
			return p
		}
		if flaw != nil && !flaw(l, p) {
			continue
		}
		if to(p) != nil {
			return packet{}
		}
	}
}

func (l *link) send(p packet) error {
	l.toBroker.Lock()
	defer l.toBroker.Unlock()
	_, err := l.broker.Write(p.append(nil))
	return err
}

func (l *link) answer(p packet) error {
	l.toDevice.Lock()
	defer l.toDevice.Unlock()
	_, err := l.device.Write(p.append(nil))
	return err
}

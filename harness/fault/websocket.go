package fault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// FrameType says which WebSocket frames a rule is about.
type FrameType byte

// The types. A data message counts once, however many fragments it comes in:
// the proxy keeps the fragments together until the last one.
const (
	AnyData     FrameType = 0 // text and binary messages
	TextFrame   FrameType = 1
	BinaryFrame FrameType = 2
	CloseFrame  FrameType = 8
	PingFrame   FrameType = 9
	PongFrame   FrameType = 10
)

// String implements fmt.Stringer.
func (t FrameType) String() string {
	if name := map[FrameType]string{AnyData: "data", TextFrame: "text", BinaryFrame: "binary", CloseFrame: "close", PingFrame: "ping", PongFrame: "pong"}[t]; name != "" {
		return name
	}
	return fmt.Sprintf("opcode %d", byte(t))
}

// FrameRule says what happens to which WebSocket frames. Messages of more than
// 1 MiB pass untouched and are not counted.
type FrameRule struct {
	Way  Direction     // Both counts each way on its own
	Type FrameType     // AnyData is for text and binary messages
	When When          // required
	Do   Do            // required; Split is for data, CloseCode for CloseFrame
	By   time.Duration // of Delay
	Code uint16        // of CloseCode, 1000 … 4999
	Seed uint64        // of Probability, of the bit that Corrupt flips, of where Split cuts
}

// name says it with all parameters.
func (r FrameRule) name() string {
	by := ""
	if r.By != 0 {
		by = " by " + r.By.String()
	}
	if r.Code != 0 {
		by = fmt.Sprintf(" to %d", r.Code)
	}
	return fmt.Sprintf("WebSocket %s %s%s, %s, %s (seed %d)", r.Do, r.Type, by, r.When, r.Way, r.Seed)
}

// FrameFault does to WebSocket frames what the rule says. The proxy must look
// at WebSocket. It fires for each frame, and not for one that has nothing to
// corrupt.
func (p *Proxy) FrameFault(r FrameRule) Counted {
	spec := rule{
		when: r.When, do: r.Do, by: r.By, seed: r.Seed,
		about: func(kind byte) bool {
			if r.Type == AnyData {
				return kind == byte(TextFrame) || kind == byte(BinaryFrame)
			}
			return kind == byte(r.Type)
		},
		label: func(kind byte) string { return FrameType(kind).String() },
	}
	switch {
	case r.Do == Corrupt:
		spec.change = corruptFrame
	case r.Do == Split && r.Type < CloseFrame:
		spec.change = splitFrame
	case r.Do == CloseCode && r.Type == CloseFrame && r.Code >= 1000 && r.Code <= 4999:
		spec.change = func(u unit, _ *rand.Rand) ([]byte, bool) { return recode(u.data, r.Code), true }
	}
	return p.ruleFault(r.name(), WebSocket, r.Way, spec)
}

// PingSilenceFault swallows pings and pongs that go that way: the peer seems to
// be dead although data still goes through (RFC 6455 section 5.5.2).
func (p *Proxy) PingSilenceFault(way Direction) Counted {
	spec := rule{
		when: When{Every: 1}, do: Drop,
		about: func(kind byte) bool { return kind == byte(PingFrame) || kind == byte(PongFrame) },
		label: func(kind byte) string { return FrameType(kind).String() },
	}
	return p.ruleFault("WebSocket drop ping and pong, "+way.String(), WebSocket, way, spec)
}

// frame is the header of a frame (RFC 6455 section 5.2).
type frame struct {
	fin    bool
	opcode byte
	header int    // size of the header, in bytes
	size   int    // of header and payload
	mask   []byte // four bytes of the header; nil: not masked
}

var errFrameLength = errors.New("a frame length that no frame can have (RFC 6455 section 5.2)")

// parseFrame reads the header that p begins with; whole is false when it has not
// come whole.
func parseFrame(p []byte) (f frame, whole bool, err error) {
	if len(p) < 2 {
		return f, false, nil
	}
	f.fin, f.opcode = p[0]&0x80 != 0, p[0]&0x0f
	length, at := uint64(p[1]&0x7f), 2
	switch {
	case length == 126 && len(p) >= 4:
		length, at = uint64(binary.BigEndian.Uint16(p[2:])), 4
	case length == 127 && len(p) >= 10:
		length, at = binary.BigEndian.Uint64(p[2:]), 10
	case length >= 126:
		return f, false, nil
	}
	if p[1]&0x80 != 0 {
		if len(p) < at+4 {
			return f, false, nil
		}
		f.mask = p[at : at+4]
		at += 4
	}
	if length > 1<<30 { // the standard allows 2^63; nobody sends it, and an int of 32 bits must hold it
		return f, false, errFrameLength
	}
	f.header, f.size = at, at+int(length)
	return f, true, nil
}

// corruptFrame flips a bit of the payload of the first frame of a message.
func corruptFrame(u unit, rnd *rand.Rand) ([]byte, bool) {
	f, _, _ := parseFrame(u.data)
	if f.size == f.header {
		return nil, false
	}
	data := append([]byte(nil), u.data...)
	data[f.header+rnd.IntN(f.size-f.header)] ^= 1 << rnd.IntN(8)
	return data, true
}

// splitFrame makes two fragments of the first frame of a message (RFC 6455
// section 5.4). The payload stays as masked as it was: the key of the second
// fragment is the first one's, turned to where it begins.
func splitFrame(u unit, rnd *rand.Rand) ([]byte, bool) {
	f, _, _ := parseFrame(u.data)
	payload, cut := u.data[f.header:f.size], 0
	if len(payload) > 1 {
		cut = 1 + rnd.IntN(len(payload)-1)
	}
	var second [4]byte
	for i := range f.mask {
		second[i] = f.mask[(i+cut)%4]
	}
	rsv := u.data[0] & 0x70 // belongs to the message: its first frame carries it
	data := appendFrame(nil, rsv|f.opcode, f.mask, payload[:cut])
	last := byte(0)
	if f.fin {
		last = 0x80
	}
	if f.mask == nil {
		data = appendFrame(data, last, nil, payload[cut:])
	} else {
		data = appendFrame(data, last, second[:], payload[cut:])
	}
	return append(data, u.data[f.size:]...), true
}

// recode gives a close frame another code and leaves its reason.
func recode(data []byte, code uint16) []byte {
	f, _, _ := parseFrame(data)
	payload := append([]byte(nil), data[f.header:f.size]...)
	if len(payload) < 2 {
		payload = make([]byte, 2)
	}
	binary.BigEndian.PutUint16(payload, code)
	for i := 0; i < 2 && f.mask != nil; i++ {
		payload[i] ^= f.mask[i]
	}
	return appendFrame(nil, data[0], f.mask, payload)
}

// appendFrame writes a frame whose payload is masked already where it is to be.
func appendFrame(out []byte, first byte, mask, payload []byte) []byte {
	masked := byte(0)
	if mask != nil {
		masked = 0x80
	}
	out = append(out, first)
	switch n := len(payload); {
	case n < 126:
		out = append(out, masked|byte(n))
	case n < 1<<16:
		out = append(out, masked|126)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	default:
		out = append(out, masked|127)
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	return append(append(out, mask...), payload...)
}

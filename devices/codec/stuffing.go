package codec

import (
	"bytes"
	"fmt"
	"time"

	"plumbline/devices"
)

// Stuffing is a way to keep the byte that ends a frame out of its contents.
type Stuffing string

// The stuffings.
const (
	// COBS is consistent overhead byte stuffing: frames end with 00 (Cheshire and
	// Baker, IEEE/ACM Transactions on Networking 7(2), 1999).
	COBS Stuffing = "cobs"
	// SLIP ends frames with C0; C0 and DB inside become DB DC and DB DD (RFC 1055).
	SLIP Stuffing = "slip"
)

// maxStuffed bounds a stuffed frame in bytes.
const maxStuffed = 4096

// Stuffed is a binary protocol of frames that end with a reserved byte and carry
// a check at the end of their contents. It is the form in which a firmware sends
// messages that may hold any byte. A bit that flips such that a reserved byte
// comes to be makes two damaged frames of one.
type Stuffed struct {
	Label    string // Name in reports; "" = "cobs+crc16" and the like
	Stuffing Stuffing
	Check    Sum   // zero = none: damage is then only seen where it breaks the form
	Inner    Codec // decodes the contents; nil = Message{}
}

var _ Codec = Stuffed{}

// Name implements Codec.
func (c Stuffed) Name() string {
	if c.Label != "" {
		return c.Label
	}
	switch c.Check.Name() {
	case "":
		return string(c.Stuffing)
	case CRC16CCITT.Name():
		return string(c.Stuffing) + "+crc16"
	}
	return string(c.Stuffing) + "+" + c.Check.Name()
}

// NewFramer implements Codec.
func (c Stuffed) NewFramer() Framer {
	if c.Stuffing == SLIP {
		return &ended{end: slipEnd}
	}
	return &ended{end: 0}
}

// Decode implements Codec.
func (c Stuffed) Decode(frame []byte) ([]devices.Value, error) {
	unstuff := uncobs
	if c.Stuffing == SLIP {
		unstuff = unslip
	}
	body, fault := unstuff(frame)
	if fault != "" {
		return nil, damaged("%s: %s", c.Stuffing, fault)
	}
	body, err := c.Check.cut(body)
	if err != nil {
		return nil, err
	}
	if c.Inner == nil {
		return Message{}.Decode(body)
	}
	return c.Inner.Decode(body)
}

// Append appends a frame that holds body, with a reserved byte before it, too:
// what a disturbance may have left on the line then ends there.
func (c Stuffed) Append(dst, body []byte) []byte {
	body = c.Check.Append(bytes.Clone(body), body)
	if c.Stuffing == SLIP {
		dst = append(dst, slipEnd)
		for _, b := range body {
			switch b {
			case slipEnd:
				dst = append(dst, slipEsc, slipEscEnd)
			case slipEsc:
				dst = append(dst, slipEsc, slipEscEsc)
			default:
				dst = append(dst, b)
			}
		}
		return append(dst, slipEnd)
	}
	return append(appendCOBS(append(dst, 0), body), 0)
}

// The bytes of RFC 1055.
const (
	slipEnd    = 0xc0
	slipEsc    = 0xdb
	slipEscEnd = 0xdc
	slipEscEsc = 0xdd
)

func unslip(p []byte) (body []byte, fault string) {
	body = make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] != slipEsc {
			body = append(body, p[i])
			continue
		}
		i++
		switch {
		case i < len(p) && p[i] == slipEscEnd:
			body = append(body, slipEnd)
		case i < len(p) && p[i] == slipEscEsc:
			body = append(body, slipEsc)
		default:
			return nil, "DB is not followed by DC or DD"
		}
	}
	return body, ""
}

// appendCOBS encodes body: each block is its length plus one and up to 254 bytes
// without 00; a block shorter than that stands for its bytes and a 00, the last
// one for its bytes alone.
func appendCOBS(dst, body []byte) []byte {
	for {
		n := bytes.IndexByte(body, 0)
		if n < 0 {
			n = len(body)
		}
		if n >= 254 {
			dst = append(append(dst, 255), body[:254]...)
			if body = body[254:]; len(body) == 0 {
				return dst
			}
			continue
		}
		dst = append(append(dst, byte(n+1)), body[:n]...)
		if n == len(body) {
			return dst
		}
		body = body[n+1:]
	}
}

func uncobs(p []byte) (body []byte, fault string) {
	body = make([]byte, 0, len(p))
	for len(p) > 0 {
		n := int(p[0])
		switch {
		case n == 0:
			return nil, "00 inside"
		case n > len(p):
			return nil, fmt.Sprintf("a block of %d bytes, %d came", n-1, len(p)-1)
		}
		body = append(body, p[1:n]...)
		if p = p[n:]; n < 255 && len(p) > 0 {
			body = append(body, 0)
		}
	}
	return body, ""
}

// ended is the framer of protocols whose frames end with a reserved byte. Empty
// frames are no frames. One longer than maxStuffed is emitted once and skipped.
type ended struct {
	end byte

	stamps   stamps
	buf      []byte
	skipping bool
}

// Push implements Framer.
func (f *ended) Push(at time.Duration, p []byte, emit func(Frame)) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, f.end)
		whole := n >= 0
		if !whole {
			n = len(p)
		}
		f.take(at, p[:n], emit)
		p = p[n:]
		if !whole {
			return
		}
		f.stamps.add(at, 1)
		p = p[1:]
		f.finish(emit)
	}
}

// take appends part of a frame, up to the bound. What is skipped counts for no
// frame, however the stream was cut into pieces.
func (f *ended) take(at time.Duration, p []byte, emit func(Frame)) {
	if len(p) == 0 {
		return
	}
	f.stamps.add(at, len(p))
	if f.skipping {
		f.stamps.take(len(p))
		return
	}
	room := maxStuffed - len(f.buf)
	if len(p) <= room {
		f.buf = append(f.buf, p...)
		return
	}
	f.buf = append(f.buf, p[:room]...)
	emit(f.frame(len(f.buf), fmt.Sprintf("longer than %d bytes without an end", maxStuffed)))
	f.stamps.take(len(p) - room)
	f.skipping = true
}

// finish emits the frame that just ended, if it holds anything; the reserved
// byte has been stamped.
func (f *ended) finish(emit func(Frame)) {
	if len(f.buf) == 0 {
		f.stamps.take(1)
	} else {
		emit(f.frame(len(f.buf)+1, ""))
	}
	f.skipping = false
}

// frame gives out what is in the buffer, which n bytes of the stream are.
func (f *ended) frame(n int, fault string) Frame {
	first, last, offset := f.stamps.take(n)
	out := Frame{Raw: bytes.Clone(f.buf), First: first, Last: last, Bytes: n, Offset: offset, Fault: fault}
	f.buf = f.buf[:0]
	return out
}

// Rest implements Framer.
func (f *ended) Rest() (Frame, bool) {
	f.skipping = false
	if len(f.buf) == 0 {
		return Frame{}, false
	}
	return f.frame(len(f.buf), "cut before its end"), true
}

package wire

import (
	"encoding/binary"
	"errors"
	"time"
)

// What the guard refuses before the frame reader sees it.
var (
	errRate     = errors.New("wire: too many frames")
	errLength   = errors.New("wire: frame length not in its shortest form")        // RFC 6455 section 5.2
	errRSV      = errors.New("wire: RSV1 outside of the first frame of a message") // RFC 7692 section 6.1
	errCloseLen = errors.New("wire: close frame with one byte of payload")         // RFC 6455 section 5.5.1
)

// Inbound frames that one viewer may send: a burst, refilled at a rate. Commands, fragments, pings and pongs all count, so
// neither a flood of empty fragments nor one of pings is free.
const (
	frameBurst = 1000
	frameRate  = 100 // a second
)

// guard follows the frame headers in what a viewer sends. gorilla/websocket does the rest of RFC 6455; the guard adds what it
// lets pass and the rate. It is owned by the goroutine that reads.
type guard struct {
	hdr    [14]byte
	n      int    // bytes of the header seen
	skip   uint64 // payload bytes still to come
	tokens float64
	at     time.Time
	now    func() time.Time
	rsv1   bool // permessage-deflate was negotiated; without it the frame reader refuses RSV1
}

func newGuard(now func() time.Time, deflate bool) guard {
	return guard{tokens: frameBurst, at: now(), now: now, rsv1: deflate}
}

// feed reads p and returns how many bytes of it are fine; the rest follows a frame that breaks err's rule.
func (g *guard) feed(p []byte) (good int, err error) {
	for i := 0; i < len(p); {
		if g.skip > 0 {
			step := min(g.skip, uint64(len(p)-i))
			g.skip -= step
			i += int(step)
			good = i
			continue
		}
		g.hdr[g.n] = p[i]
		g.n++
		i++
		need := g.need()
		if g.n < need {
			continue
		}
		if err := g.header(); err != nil {
			return good, err
		}
		g.n = 0
		good = i
	}
	return len(p), nil
}

// need returns the length of the header as far as it can be known.
func (g *guard) need() int {
	if g.n < 2 {
		return 2
	}
	n := 2
	switch g.hdr[1] & 0x7F {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if g.hdr[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// header checks a complete header.
func (g *guard) header() error {
	length := uint64(g.hdr[1] & 0x7F)
	switch length {
	case 126:
		if length = uint64(binary.BigEndian.Uint16(g.hdr[2:])); length < 126 {
			return errLength
		}
	case 127:
		if length = binary.BigEndian.Uint64(g.hdr[2:]); length <= 0xFFFF || length>>63 != 0 {
			return errLength
		}
	}
	opcode := g.hdr[0] & 0x0F
	if opcode == 0x8 && length == 1 {
		return errCloseLen
	}
	if g.rsv1 && g.hdr[0]&rsv1 != 0 && opcode != 0x1 && opcode != 0x2 {
		return errRSV
	}
	g.skip = length
	now := g.now()
	g.tokens = min(frameBurst, g.tokens+frameRate*now.Sub(g.at).Seconds())
	g.at = now
	if g.tokens < 1 {
		return errRate
	}
	g.tokens--
	return nil
}

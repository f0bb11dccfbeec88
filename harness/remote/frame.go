package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// DefaultMaxFrame bounds the body of a frame in bytes when Config says nothing.
const DefaultMaxFrame = 16 << 20

const (
	greetingMagic = "PLUMBLNK"
	greetingSize  = len(greetingMagic) + 4
	frameHead     = 4 + 1 + 4 // size, kind, number
	afterSize     = frameHead - 4
)

// The kinds of frames.
const (
	kindCall    byte = 1
	kindResult  byte = 2
	kindFailure byte = 3
	kindCancel  byte = 4
	kindCast    byte = 5
)

// ErrProtocol says that the other side does not speak this protocol, or not this
// version of it. The message says what came.
var ErrProtocol = errors.New("remote: the other side does not keep to the protocol")

// frame is one frame, without its size.
type frame struct {
	kind   byte
	number uint32
	body   []byte
}

func appendGreeting(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, greetingMagic...), Version)
}

// readGreeting checks the greeting of the other side.
func readGreeting(in io.Reader) error {
	var b [greetingSize]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return fmt.Errorf("remote: read the greeting: %w", err)
	}
	if string(b[:len(greetingMagic)]) != greetingMagic {
		return fmt.Errorf("%w: it greets with %q; is it a plumbline?", ErrProtocol, b[:])
	}
	if v := binary.BigEndian.Uint32(b[len(greetingMagic):]); v != Version {
		return fmt.Errorf("%w: it speaks version %d, this side version %d; run the same build of plumbline on both sides", ErrProtocol, v, Version)
	}
	return nil
}

func appendFrame(dst []byte, f frame) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(afterSize+len(f.body)))
	dst = append(dst, f.kind)
	dst = binary.BigEndian.AppendUint32(dst, f.number)
	return append(dst, f.body...)
}

// readFrame reads one frame whose body has at most limit bytes. It returns
// io.EOF only between two frames.
func readFrame(in io.Reader, limit int) (frame, error) {
	var head [frameHead]byte
	if n, err := io.ReadFull(in, head[:]); err != nil {
		if n > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - afterSize
	f := frame{kind: head[4], number: binary.BigEndian.Uint32(head[5:])}
	switch {
	case size < 0 || size > int64(limit):
		return frame{}, fmt.Errorf("%w: a frame with a body of %d bytes; at most %d are allowed", ErrProtocol, size, limit)
	case f.kind < kindCall || f.kind > kindCast:
		return frame{}, fmt.Errorf("%w: a frame of kind %d", ErrProtocol, f.kind)
	}
	f.body = make([]byte, size)
	if _, err := io.ReadFull(in, f.body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, fmt.Errorf("remote: within a frame: %w", err)
	}
	return f, nil
}

// named puts a verb or a name before the rest of a body.
func named(name string, rest []byte) ([]byte, error) {
	if name == "" || len(name) > 255 {
		return nil, fmt.Errorf("remote: %q is no name: it has %d bytes, a name has 1 to 255", name, len(name))
	}
	body := make([]byte, 0, 1+len(name)+len(rest))
	return append(append(append(body, byte(len(name))), name...), rest...), nil
}

// unnamed takes apart what named made.
func unnamed(body []byte) (name string, rest []byte, err error) {
	if len(body) == 0 || body[0] == 0 || len(body) < 1+int(body[0]) {
		return "", nil, fmt.Errorf("%w: a call or a cast without a name", ErrProtocol)
	}
	end := 1 + int(body[0])
	return string(body[1:end]), body[end:], nil
}

// Package codec turns the bytes of a device into values: it cuts a stream into
// frames, checks each frame by the check that the frame itself carries, and
// decodes what passed. It knows no ports, files or brokers.
package codec

import (
	"fmt"
	"time"

	"plumbline/devices"
)

// Frame is one frame cut out of a byte stream.
type Frame struct {
	Raw   []byte        // without the line end; owned by the receiver
	First time.Duration // stamp of the read that brought the first byte
	Last  time.Duration // stamp of the read that brought the last byte
	Bytes int           // bytes taken from the stream, line end included
	NULs  int           // NUL bytes that came before Raw and were cut off it
	// Fault says why the framer itself rejects the frame, "" if it does not.
	Fault string
}

// Framer cuts a byte stream into frames. It is used by one goroutine.
type Framer interface {
	// Push takes the bytes p that were read at the instant at and calls emit
	// for each frame completed by them, in order. It keeps no reference to p.
	Push(at time.Duration, p []byte, emit func(Frame))
	// Rest gives up the unfinished frame, if there is one, and starts afresh.
	Rest() (Frame, bool)
}

// Codec is a line protocol: how to cut and how to decode. Implementations are
// values without state and safe for concurrent use.
type Codec interface {
	// Name is the protocol's name as reports print it, for example "nmea0183".
	Name() string
	// NewFramer returns a framer for one stream.
	NewFramer() Framer
	// Decode checks one frame and returns its values. The error is always a
	// *Reject. The frame is not kept.
	Decode(frame []byte) ([]devices.Value, error)
}

// Class says what kind of rejection a Reject is; the zero value is Damaged.
type Class uint8

// The classes of rejection.
const (
	Damaged   Class = iota // a frame that failed its check
	Unchecked              // no check where the protocol asks for one, or not a frame at all
)

// Reject is why a frame was not published.
type Reject struct {
	Class  Class
	Reason string // for example "checksum 4B, computed 4A"
}

// Error returns the reason.
func (r *Reject) Error() string { return r.Reason }

// damaged and unchecked build a Reject the short way.
func damaged(format string, args ...any) *Reject {
	return &Reject{Class: Damaged, Reason: fmt.Sprintf(format, args...)}
}

func unchecked(format string, args ...any) *Reject {
	return &Reject{Class: Unchecked, Reason: fmt.Sprintf(format, args...)}
}

// ByName returns the codec that reports and descriptors call name:
// "nmea0183", "linejson", "linejson+crc" or "payload".
func ByName(name string) (Codec, error) {
	for _, c := range []Codec{NMEA0183{}, LineJSON{}, LineJSON{CRC: true}, Payload{}} {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("codec: no codec is called %q; known are nmea0183, linejson, linejson+crc and payload", name)
}

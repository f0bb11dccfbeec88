// Package codec turns the bytes of a device into values: it cuts a stream into
// frames, checks each frame by the check that the frame itself carries, and
// decodes what passed. It knows no ports, files or brokers.
package codec

import (
	"fmt"
	"strings"
	"time"

	"plumbline/devices"
)

// Frame is one frame cut out of a byte stream.
type Frame struct {
	Raw   []byte        // without the line end; owned by the receiver
	First time.Duration // stamp of the read that brought the first byte
	Last  time.Duration // stamp of the read that brought the last byte
	Bytes int           // bytes taken from the stream, line end included; of a frame that is too long, what was kept
	NULs  int           // NUL bytes that came before Raw and were cut off it
	// Offset is where the frame, NULs included, begins in the stream: bytes
	// since the framer was made.
	Offset int64
	// Fault says why the framer itself rejects the frame, "" if it does not.
	Fault string
}

// Framer cuts a byte stream into frames. It is used by one goroutine.
type Framer interface {
	// Push takes the bytes p that were read at the instant at and calls emit
	// for each frame completed by them, in order. It keeps no reference to p.
	Push(at time.Duration, p []byte, emit func(Frame))
	// Rest gives up the unfinished frame, if there is one, and starts afresh.
	// Offsets go on.
	Rest() (Frame, bool)
}

// Codec is a protocol of devices that speak by themselves: how to cut what they
// say and how to decode it. A Go type that implements it is all that a protocol
// of one's own needs. Implementations are values without state and safe for
// concurrent use; what one stream must remember lives in its Framer and, for
// a Stateful codec, in its Decoder.
type Codec interface {
	// Name is the protocol's name as reports print it, for example "nmea0183".
	Name() string
	// NewFramer returns a framer for one stream.
	NewFramer() Framer
	// Decode checks one frame and returns its values. The error is always a
	// *Reject. The frame is not kept.
	Decode(frame []byte) ([]devices.Value, error)
}

// Decoder decodes the frames of one stream, in order, on one goroutine. Errors
// are as those of Codec.Decode.
type Decoder interface {
	Decode(frame []byte) ([]devices.Value, error)
}

// Stateful is a codec whose frames mean something only by what came before them
// on the same stream: the rows of a table, by the row that names the columns.
// Its own Decode judges a frame as if it were the first.
type Stateful interface {
	Codec
	// NewDecoder returns a decoder for one stream.
	NewDecoder() Decoder
}

// NewDecoder returns a decoder for one stream of c.
func NewDecoder(c Codec) Decoder {
	if s, ok := c.(Stateful); ok {
		return s.NewDecoder()
	}
	return c
}

// Class says what kind of rejection a Reject is; the zero value is Damaged.
type Class uint8

// The classes of rejection.
const (
	Damaged   Class = iota // a frame that failed its check
	Unchecked              // no check where the protocol asks for one, or not a frame at all
	Control                // a whole frame that carries no reading, such as a table's header: no fault
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

func control(format string, args ...any) *Reject {
	return &Reject{Class: Control, Reason: fmt.Sprintf(format, args...)}
}

func unchecked(format string, args ...any) *Reject {
	return &Reject{Class: Unchecked, Reason: fmt.Sprintf(format, args...)}
}

// All returns the codecs that have a name, in the order of the manual.
func All() []Codec {
	return []Codec{
		NMEA0183{}, LineJSON{}, LineJSON{CRC: true}, Table{}, Table{Delimiter: '\t'}, Pairs{}, P1{},
		SDS011{}, PMS5003, PMS5003T, PMS3003,
		Stuffed{Stuffing: COBS, Check: CRC16CCITT}, Stuffed{Stuffing: COBS, Check: CRC32},
		Stuffed{Stuffing: SLIP, Check: CRC16CCITT}, Stuffed{Stuffing: SLIP, Check: CRC32},
		SenML{}, SenML{CBOR: true}, CAN{}, Payload{},
	}
}

// Whole reports whether c takes messages that come whole, over MQTT: on a serial
// line nothing says where one ends.
func Whole(c Codec) bool {
	_, is := c.NewFramer().(*whole)
	return is
}

// ByName returns the codec that reports, rig files and recordings call name.
// The error lists what is known.
func ByName(name string) (Codec, error) {
	all := All()
	names := make([]string, len(all))
	for i, c := range all {
		if names[i] = c.Name(); names[i] == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("codec: no codec is called %q; known are %s", name, strings.Join(names, ", "))
}

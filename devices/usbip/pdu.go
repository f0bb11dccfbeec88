package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Codes of the messages (usbip_protocol: USBIP_CMD_SUBMIT and so on).
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4
)

const (
	headerSize = 48 // bytes of every message's header

	// MaxTransfer bounds the bytes of one transfer. The serial drivers ask for some
	// kilobytes at most.
	MaxTransfer = 1 << 20
)

// Status of a transfer: errno of Linux, negative.
const (
	statusOK       = 0
	statusStall    = -32  // EPIPE: the endpoint cannot do that
	statusUnlinked = -104 // ECONNRESET: taken back before it was done
)

// ErrProtocol marks a stream that is not that of USB/IP, or asks for what no
// serial adapter has.
var ErrProtocol = errors.New("usbip: the stream is not what it should be")

// Setup is the head of a control transfer (USB 2.0, table 9-2).
type Setup struct {
	Type    uint8 // bmRequestType
	Request uint8 // bRequest
	Value   uint16
	Index   uint16
	Length  uint16
}

// command is a message of the kernel.
type command struct {
	seq    uint32
	unlink bool
	victim uint32 // of an unlink: the seq that is taken back
	in     bool   // towards the kernel
	ep     uint8
	length int // of the transfer; what an IN transfer has room for
	setup  Setup
	data   []byte // of an OUT transfer
}

// readCommand reads one message. The error is io.EOF when the stream ends between
// two, io.ErrUnexpectedEOF within one, or wraps ErrProtocol.
func readCommand(r io.Reader) (command, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return command{}, err
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
	code, direction, ep := word(0), word(12), word(16)
	c := command{seq: word(4), in: direction == 1, ep: uint8(ep)}
	switch {
	case code == cmdUnlink:
		c.unlink, c.victim = true, word(20)
		return c, nil
	case code != cmdSubmit:
		return command{}, fmt.Errorf("%w: message code %#x", ErrProtocol, code)
	case direction > 1:
		return command{}, fmt.Errorf("%w: direction %d", ErrProtocol, direction)
	case ep > 15:
		return command{}, fmt.Errorf("%w: endpoint %d", ErrProtocol, ep)
	}
	length := word(24)
	if length > MaxTransfer {
		return command{}, fmt.Errorf("%w: a transfer of %d bytes; at most %d", ErrProtocol, length, MaxTransfer)
	}
	if packets := word(32); packets != 0 && packets != 0xFFFFFFFF {
		return command{}, fmt.Errorf("%w: an isochronous transfer; no endpoint is one", ErrProtocol)
	}
	c.length = int(length)
	c.setup = Setup{Type: h[40], Request: h[41], Value: binary.LittleEndian.Uint16(h[42:]),
		Index: binary.LittleEndian.Uint16(h[44:]), Length: binary.LittleEndian.Uint16(h[46:])}
	if c.in || length == 0 {
		return c, nil
	}
	c.data = make([]byte, length)
	if _, err := io.ReadFull(r, c.data); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return command{}, err
	}
	return c, nil
}

// appendReply appends the answer to a command: for a submit its status, how many
// bytes were moved and, of an IN transfer, the bytes; for an unlink its status.
func appendReply(b []byte, c command, status int, moved int, data []byte) []byte {
	code := uint32(retSubmit)
	if c.unlink {
		code, moved = retUnlink, 0
	}
	b = binary.BigEndian.AppendUint32(b, code)
	b = binary.BigEndian.AppendUint32(b, c.seq)
	b = append(b, make([]byte, 12)...) // device, direction and endpoint are the command's own
	b = binary.BigEndian.AppendUint32(b, uint32(int32(status)))
	b = binary.BigEndian.AppendUint32(b, uint32(moved))
	b = append(b, make([]byte, 20)...)
	return append(b, data...)
}

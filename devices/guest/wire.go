package guest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"plumbline/devices/inventory"
	"plumbline/devices/serialline"
)

// AgentPort is the TCP port of the agent.
const AgentPort = 7000

// What a connection is for.
const (
	opStatus = "status"
	opAttach = "attach"
	opOpen   = "open"
	opTell   = "tell"
)

// request is the first line of a connection.
type request struct {
	Op   string `json:"op"`
	Slot int    `json:"slot,omitempty"` // attach: socket of the virtual hub, from 0
	Open *Port  `json:"open,omitempty"` // open
	Tell string `json:"tell,omitempty"` // tell: selector of a port that another connection has open; commands follow
}

// Port says which port of the guest is to be opened, and how.
type Port struct {
	Select   string            `json:"select"` // see inventory.Selector
	Baud     int               `json:"baud,omitempty"`
	DataBits int               `json:"dataBits,omitempty"`
	Parity   serialline.Parity `json:"parity,omitempty"`
	StopBits int               `json:"stopBits,omitempty"`
}

// Status is what the agent says of its machine.
type Status struct {
	Kernel string           `json:"kernel"` // release of the kernel
	Ports  []inventory.Port `json:"ports"`
	Error  string           `json:"error,omitempty"`
}

// Kinds of records of an open port, and of commands to it.
const (
	kindData      = 'd'
	kindPlugged   = 'p' // text: the path
	kindUnplugged = 'u' // text: what the driver saw
	kindResult    = 'r' // JSON: result
	kindWrite     = 'w'
	kindControl   = 'c' // JSON: Control
)

// maxRecord bounds the text of a record.
const maxRecord = 64 << 10

// ErrProtocol marks a stream that is not that of the agent.
var ErrProtocol = errors.New("guest: the agent's stream is not what it should be")

// appendRecord appends kind, length and text.
func appendRecord(b []byte, kind byte, text []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

// readRecord reads one; io.EOF is the end between two.
func readRecord(r *bufio.Reader) (kind byte, text []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, cutShort(err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maxRecord {
		return 0, nil, fmt.Errorf("%w: a record of %d bytes; at most %d", ErrProtocol, length, maxRecord)
	}
	text = make([]byte, length)
	_, err = io.ReadFull(r, text)
	return kind, text, cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Control is what is asked of an open port; what is nil or zero is left alone.
type Control struct {
	DTR     *bool `json:"dtr,omitempty"`
	RTS     *bool `json:"rts,omitempty"`
	BreakMS int   `json:"breakMs,omitempty"`
	Baud    int   `json:"baud,omitempty"`
}

// Report is what the agent tells of an open port.
type Report struct {
	Modem  serialline.Modem      `json:"modem"`
	Errors serialline.LineErrors `json:"errors"`
	Stats  serialline.Stats      `json:"stats"`
}

type result struct {
	Error  string `json:"error,omitempty"`
	Report Report `json:"report"`
}

// writeLine writes a line of JSON.
func writeLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// readLine reads a line of JSON.
func readLine(r *bufio.Reader, v any) error {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > maxRecord {
			return fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxRecord)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return cutShort(err)
		}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

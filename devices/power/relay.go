package power

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"plumbline/devices/codec"
	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/serialline"
)

// Protocol is the bytes that a relay board understands.
type Protocol string

// The protocols.
const (
	// LCUS is that of the boards sold as LCUS-1 to LCUS-8, with a CH340 adapter: A0,
	// the number of the relay, 01 or 00, and the sum of these three (their makers'
	// leaflet: "A0 01 01 A2" opens relay 1).
	LCUS Protocol = "lcus"
	// FF is that of boards with FF, the number of the relay, and 01 or 00.
	FF Protocol = "ff"
)

// MaxChannel is the highest number of a relay on one board.
const MaxChannel = 32

// maxBytes bounds a command of one's own.
const maxBytes = 64

// Relay describes a relay on a board with a serial port. Port is needed.
type Relay struct {
	Port     string   // selector of the board's port, as serialline.Config.Port
	Baud     int      // 0 = 9600
	Protocol Protocol // "" = LCUS
	Channel  int      // number of the relay on the board, from 1; 0 = 1
	// On and Off are the bytes of a board that speaks neither protocol, in hexadecimal,
	// such as "55 56 00 00 00 01 01 AD"; both or none.
	On, Off string

	Inventory inventory.Inventory // where the port is looked for; the zero value is this machine
	Locks     *lock.Dir           // where the board is locked while the switch is open; nil = not at all
	Purpose   string              // said to others by the lock
}

// Check says what is wrong with the settings and how to mend it. It looks at no port.
func (r Relay) Check() error {
	_, _, err := r.commands()
	if err == nil {
		err = serialline.Config{Port: r.Port, Baud: r.Baud}.Check()
	}
	return err
}

// commands returns the bytes that close and open the relay.
func (r Relay) commands() (on, off []byte, err error) {
	channel := r.Channel
	if channel == 0 {
		channel = 1
	}
	switch {
	case r.Port == "":
		return nil, nil, fmt.Errorf("%w: no port of the relay board; plumbline devices prints the ports that are plugged in", ErrSettings)
	case inventory.Numbered(r.Port):
		return nil, nil, fmt.Errorf("%w: port %q means another device after the next replug; take the selector that plumbline devices prints for it", ErrSettings, r.Port)
	case (r.On == "") != (r.Off == ""):
		return nil, nil, fmt.Errorf("%w: the bytes of on and off belong together; give both or none", ErrSettings)
	case r.On != "" && (r.Protocol != "" || r.Channel != 0):
		return nil, nil, fmt.Errorf("%w: bytes of one's own need neither protocol nor channel; leave them out", ErrSettings)
	case channel < 1 || channel > MaxChannel:
		return nil, nil, fmt.Errorf("%w: relay %d is not between 1 and %d", ErrSettings, r.Channel, MaxChannel)
	}
	if r.On != "" {
		if on, err = ownBytes("on", r.On); err != nil {
			return nil, nil, err
		}
		if off, err = ownBytes("off", r.Off); err == nil && bytes.Equal(on, off) {
			err = fmt.Errorf("%w: on and off are the same bytes", ErrSettings)
		}
		return on, off, err
	}
	n := byte(channel)
	switch r.Protocol {
	case "", LCUS:
		return []byte{0xA0, n, 1, 0xA0 + n + 1}, []byte{0xA0, n, 0, 0xA0 + n}, nil
	case FF:
		return []byte{0xFF, n, 1}, []byte{0xFF, n, 0}, nil
	}
	return nil, nil, fmt.Errorf("%w: protocol %q is not known; choose %s or %s, or give the bytes of on and off", ErrSettings, r.Protocol, LCUS, FF)
}

// ownBytes reads bytes in hexadecimal, with or without blanks.
func ownBytes(what, text string) ([]byte, error) {
	p, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil || len(p) == 0 || len(p) > maxBytes {
		return nil, fmt.Errorf("%w: %s is %q; it must be 1 to %d bytes in hexadecimal, in quotes, such as \"A0 01 01 A2\"", ErrSettings, what, text, maxBytes)
	}
	return p, nil
}

// Bank holds relay boards open, each once, whoever has a relay on it. The zero value
// is ready. Its methods, and the switches, may be used by any goroutine.
type Bank struct {
	mu     sync.Mutex
	boards map[string]*relayBoard // by port; owned by mu
}

// Open returns a relay of a board, whose port it opens and locks unless that is
// open. Nothing is switched yet. The Close of the bank ends the switch.
// Errors are those of Check and of serialline.Open.
func (b *Bank) Open(ctx context.Context, r Relay) (Switch, error) {
	on, off, err := r.commands()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	board := b.boards[r.Port]
	switch {
	case board == nil:
		if board, err = openBoard(ctx, r); err != nil {
			return nil, err
		}
		if b.boards == nil {
			b.boards = map[string]*relayBoard{}
		}
		b.boards[r.Port] = board
	case board.baud != r.Baud:
		return nil, fmt.Errorf("%w: the relay board at %q is used at %d baud and at %d; give all its relays one speed", ErrSettings, r.Port, board.baud, r.Baud)
	}
	return &relay{board: board, on: on, off: off}, nil
}

// Close lets go of all boards, whose relays stay as they are. It is idempotent.
func (b *Bank) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, board := range b.boards {
		errs = append(errs, board.line.Close())
	}
	b.boards = nil
	return errors.Join(errs...)
}

// relayBoard is an open board.
type relayBoard struct {
	baud int
	mu   sync.Mutex // one command at a time
	line *serialline.Line
}

func openBoard(ctx context.Context, r Relay) (*relayBoard, error) {
	line, err := serialline.Open(ctx, serialline.Config{
		ID: "relay board", Port: r.Port, Baud: r.Baud, Codec: codec.Chunks{}, Queue: 1, Damages: 1,
		Inventory: r.Inventory, Locks: r.Locks, Owner: "plumbline", Purpose: r.Purpose,
	})
	if err != nil {
		return nil, fmt.Errorf("power: relay board: %w", err)
	}
	return &relayBoard{baud: r.Baud, line: line}, nil
}

// relay is one relay of a board.
type relay struct {
	board   *relayBoard
	on, off []byte
}

// Set implements Switch. Boards of these kinds answer nothing, or something that
// says no more than that they heard: what counts is what the device does then. One
// that takes no bytes is waited for as serialline.Line.Write does.
func (r *relay) Set(ctx context.Context, on bool) error {
	command := r.off
	if on {
		command = r.on
	}
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := r.board.line.Write(command); err != nil {
		return fmt.Errorf("power: relay board: %w", err)
	}
	return nil
}

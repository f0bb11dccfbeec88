package usbip

import (
	"encoding/binary"
	"time"
)

// acm is a board with an Abstract Control Model of its own (USB CDC 1.2 and its
// PSTN subclass 1.2), as Arduino's are.
type acm struct{}

// Class requests (PSTN 1.2, table 13).
const (
	acmSetLineCoding = 0x20
	acmGetLineCoding = 0x21
	acmSetLineState  = 0x22
	acmSendBreak     = 0x23
)

func (acm) device(o Options) []byte { return deviceDescriptor(2, o, 0x0001) }

func (acm) config() []byte {
	return configDescriptor(2,
		interfaceDescriptor(0, 1, 2, 2, 1),
		[]byte{5, typeCSInterface, 0, 0x10, 0x01}, // header: CDC 1.10
		[]byte{5, typeCSInterface, 1, 0, 1},       // no call management
		[]byte{4, typeCSInterface, 2, 0x06},       // line coding, line state and break
		[]byte{5, typeCSInterface, 6, 0, 1},       // interface 0 controls 1
		endpointDescriptor(0x83, interrupt, 16, 16),
		interfaceDescriptor(1, 2, 0x0A, 0, 0),
		endpointDescriptor(0x01, bulk, 0, packetSize), endpointDescriptor(0x82, bulk, 0, packetSize))
}

func (acm) input() uint8  { return 2 }
func (acm) output() uint8 { return 1 }
func (acm) notice() uint8 { return 3 }

var (
	acmParities = [5]string{"none", "odd", "even", "mark", "space"}
	acmStops    = [3]float64{1, 1.5, 2}
)

func (acm) control(a *Adapter, s Setup, data []byte) ([]byte, bool) {
	switch s.Request {
	case acmSetLineCoding:
		if len(data) < 7 || int(data[4]) >= len(acmStops) || int(data[5]) >= len(acmParities) {
			return nil, false
		}
		a.settings.Baud = float64(binary.LittleEndian.Uint32(data))
		a.settings.StopBits, a.settings.Parity, a.settings.DataBits = acmStops[data[4]], acmParities[data[5]], int(data[6])
	case acmGetLineCoding:
		coding := binary.LittleEndian.AppendUint32(nil, uint32(a.settings.Baud))
		stops, parity := byte(0), byte(0)
		for i, v := range acmStops {
			if v == a.settings.StopBits {
				stops = byte(i)
			}
		}
		for i, v := range acmParities {
			if v == a.settings.Parity {
				parity = byte(i)
			}
		}
		return append(coding, stops, parity, byte(a.settings.DataBits)), true
	case acmSetLineState:
		a.settings.DTR, a.settings.RTS = s.Value&1 != 0, s.Value&2 != 0
	case acmSendBreak: // milliseconds; 0xFFFF = until 0
		a.setBreak(s.Value != 0)
		a.settings.Break = s.Value == 0xFFFF // a short one is over when it is looked at
	default:
		return nil, false
	}
	return nil, true
}

// fill moves what waits. A transfer that is full to the brim says that more may
// come; the next one begins with it.
func (acm) fill(a *Adapter, room int, _ time.Time) ([]byte, time.Duration) {
	var transfer []byte
	for len(a.waiting) > 0 && len(transfer) < room {
		transfer = append(transfer, a.take(min(len(a.waiting[0].data), room-len(transfer)))...)
	}
	return transfer, 0
}

// Bits of SERIAL_STATE (PSTN 1.2, table 31).
const (
	acmDCD     = 1 << 0
	acmDSR     = 1 << 1
	acmBreak   = 1 << 2
	acmRing    = 1 << 3
	acmFraming = 1 << 4
	acmParity  = 1 << 5
	acmOverrun = 1 << 6
)

// event is a SERIAL_STATE notification: errors are told once, lines when they change.
func (acm) event(a *Adapter) []byte {
	var e LineError
	switch {
	case len(a.notices) > 0:
		e = a.notices[0]
		a.notices = a.notices[1:]
	case a.told:
		return nil
	}
	a.told = true
	m := a.modem
	state := bit(m.DCD, acmDCD) | bit(m.DSR, acmDSR) | bit(m.RI, acmRing) | bit(e&BreakSeen != 0, acmBreak) |
		bit(e&Framing != 0, acmFraming) | bit(e&Parity != 0, acmParity) | bit(e&Overrun != 0, acmOverrun)
	return []byte{0xA1, 0x20, 0, 0, 0, 0, 2, 0, state, 0}
}

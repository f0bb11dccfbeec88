package usbip

import "time"

// ftdi is an FT232R at full speed, as the data sheet DS_FT232R, the application
// notes AN232B-04 and -05 and the kernel's ftdi_sio.h describe it.
type ftdi struct{}

// ftdiLatency is the latency timer after power-on.
const ftdiLatency = 16 * time.Millisecond

// Vendor requests of the chip (ftdi_sio.h).
const (
	ftdiReset        = 0
	ftdiModemControl = 1
	ftdiFlow         = 2
	ftdiBaud         = 3
	ftdiData         = 4
	ftdiModemStatus  = 5
	ftdiEventChar    = 6
	ftdiErrorChar    = 7
	ftdiSetLatency   = 9
	ftdiGetLatency   = 10
	ftdiBitMode      = 11
	ftdiReadEEPROM   = 0x90
)

func (ftdi) device(o Options) []byte { return deviceDescriptor(0, o, 0x0600) } // 6.00 is an FT232R

func (ftdi) config() []byte {
	return configDescriptor(1, interfaceDescriptor(0, 2, 0xFF, 0xFF, 0xFF),
		endpointDescriptor(0x81, bulk, 0, packetSize), endpointDescriptor(0x02, bulk, 0, packetSize))
}

func (ftdi) input() uint8          { return 1 }
func (ftdi) output() uint8         { return 2 }
func (ftdi) notice() uint8         { return 0 }
func (ftdi) event(*Adapter) []byte { return nil }

func (f ftdi) control(a *Adapter, s Setup, _ []byte) ([]byte, bool) {
	switch s.Request {
	case ftdiReset:
		if s.Value != 1 { // 1 empties what the host sent, 2 what waits for it, 0 both
			a.purge()
		}
	case ftdiModemControl: // the upper byte says which lines are meant
		if s.Value&0x100 != 0 {
			a.settings.DTR = s.Value&1 != 0
		}
		if s.Value&0x200 != 0 {
			a.settings.RTS = s.Value&2 != 0
		}
	case ftdiBaud:
		a.settings.Baud = ftdiSpeed(s.Value, s.Index)
	case ftdiData:
		parities := [8]string{"none", "odd", "even", "mark", "space", "", "", ""}
		a.settings.DataBits = int(s.Value & 0xFF)
		a.settings.Parity = parities[s.Value>>8&7]
		a.settings.StopBits = [4]float64{1, 1.5, 2, 0}[s.Value>>11&3]
		a.setBreak(s.Value&(1<<14) != 0)
	case ftdiModemStatus:
		return f.status(a, 0), true
	case ftdiSetLatency:
		a.settings.Latency = time.Millisecond * time.Duration(max(1, s.Value&0xFF))
	case ftdiGetLatency:
		return []byte{byte(a.settings.Latency / time.Millisecond)}, true
	case ftdiReadEEPROM:
		return []byte{0xFF, 0xFF}, true // empty
	case ftdiFlow, ftdiEventChar, ftdiErrorChar, ftdiBitMode:
	default:
		return nil, false
	}
	return nil, true
}

// ftdiSpeed returns what the divisor of SET_BAUDRATE makes of 24 MHz (AN232B-05):
// 14 bits, then eighths in a code of three bits, and two values of their own.
func ftdiSpeed(value, index uint16) float64 {
	whole, code := int(value&0x3FFF), value>>14|index&1<<2
	switch {
	case whole == 0:
		return 3_000_000
	case whole == 1 && code == 0:
		return 2_000_000
	}
	eighths := [8]int{0, 4, 2, 1, 3, 5, 6, 7}[code]
	return 24_000_000 / float64(8*whole+eighths)
}

// Bits of the two bytes before every packet (AN232B-04, section 3).
const (
	ftdiCTS = 1 << 4
	ftdiDSR = 1 << 5
	ftdiRI  = 1 << 6
	ftdiDCD = 1 << 7

	ftdiOverrun = 1 << 1
	ftdiParity  = 1 << 2
	ftdiFraming = 1 << 3
	ftdiBreak   = 1 << 4
	ftdiEmpty   = 1<<5 | 1<<6 // nothing waits to go out
)

func bit(on bool, mask byte) byte {
	if on {
		return mask
	}
	return 0
}

func (ftdi) status(a *Adapter, e LineError) []byte {
	m := a.modem
	return []byte{
		1 | bit(m.CTS, ftdiCTS) | bit(m.DSR, ftdiDSR) | bit(m.RI, ftdiRI) | bit(m.DCD, ftdiDCD),
		ftdiEmpty | bit(e&Overrun != 0, ftdiOverrun) | bit(e&Parity != 0, ftdiParity) |
			bit(e&Framing != 0, ftdiFraming) | bit(e&BreakSeen != 0, ftdiBreak),
	}
}

// fill packs packets of 64 bytes, of which two are the status. A packet that is
// not full waits for the latency timer, unless an error or a change of a modem
// line is to be told; it ends the transfer.
func (f ftdi) fill(a *Adapter, room int, now time.Time) (transfer []byte, wait time.Duration) {
	for room-len(transfer) >= packetSize {
		n, left := f.ready(a, now)
		if n == 0 && (a.told || transfer != nil) {
			return transfer, left
		}
		var e LineError
		if n > 0 {
			e = a.waiting[0].errors
			if a.lost {
				e |= Overrun
				a.lost = false
			}
		}
		transfer = append(transfer, f.status(a, e)...)
		a.told = true
		if n > 0 {
			transfer = append(transfer, a.take(n)...)
		}
		if n < packetSize-2 {
			break
		}
	}
	return transfer, 0
}

// ready returns how many bytes the next packet holds, 0 = none for as long as left.
func (ftdi) ready(a *Adapter, now time.Time) (n int, left time.Duration) {
	if len(a.waiting) == 0 {
		return 0, 0
	}
	first := a.waiting[0]
	n = min(len(first.data), packetSize-2)
	if n == packetSize-2 || len(a.waiting) > 1 || first.errors != 0 {
		return n, 0
	}
	if left = first.since.Add(a.settings.Latency).Sub(now); left > 0 {
		return 0, left
	}
	return n, 0
}

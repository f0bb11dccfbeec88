package serialline

import (
	"plumbline/devices"
	"plumbline/devices/codec"
)

// withModem is a codec whose samples say what is on the modem lines, too.
type withModem struct {
	codec.Codec
	line *Line
}

var _ codec.Stateful = withModem{}

// NewDecoder implements codec.Stateful.
func (w withModem) NewDecoder() codec.Decoder {
	return &modemDecoder{Decoder: codec.NewDecoder(w.Codec), line: w.line}
}

// modemDecoder adds the readings behind the values of each frame. It is used by
// the reading goroutine.
type modemDecoder struct {
	codec.Decoder
	line *Line
	last []devices.Value // what the lines said last
	none bool            // the port has no such lines
}

// Decode implements codec.Decoder.
func (d *modemDecoder) Decode(frame []byte) ([]devices.Value, error) {
	values, err := d.Decoder.Decode(frame)
	if err != nil || len(values) == 0 {
		return values, err
	}
	d.look()
	return append(values[:len(values):len(values)], d.last...), nil
}

// look reads the lines. While another uses the port, for a break say, what they
// said last stands: reading must not wait, or the stamps of what follows would.
func (d *modemDecoder) look() {
	l := d.line
	if d.none || !l.ctl.TryLock() {
		return
	}
	defer l.ctl.Unlock()
	if l.port == nil {
		return
	}
	bits, err := l.port.GetModemStatusBits()
	if err != nil {
		d.last = nil // a port that is lost says so where it is read
		if d.none = noModemLines(err); d.none {
			l.count(func(s *Stats) { s.NoModem = true })
		}
		return
	}
	d.last = []devices.Value{bit("modem_cts", bits.CTS), bit("modem_dsr", bits.DSR), bit("modem_dcd", bits.DCD), bit("modem_ri", bits.RI)}
}

func bit(name string, on bool) devices.Value {
	v := devices.Value{Name: name}
	if on {
		v.Number = 1
	}
	return v
}

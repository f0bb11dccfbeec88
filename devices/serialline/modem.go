package serialline

import (
	"errors"
	"fmt"
	"time"

	"go.bug.st/serial"

	"plumbline/devices"
)

// ErrNoModem is returned where a port has no modem lines: a pty, a raw TCP
// connection, some USB gadgets.
var ErrNoModem = errors.New("serialline: the port has no modem lines")

// Modem is what the device puts on the modem lines of its port.
type Modem struct {
	CTS, DSR, DCD, RI bool
}

// maxBreak bounds a break: the port cannot be used meanwhile.
const maxBreak = 5 * time.Second

// SetDTR sets the line "data terminal ready": many boards reset on it. It lasts
// until the port is lost; Config.DTR is set again at each opening.
func (l *Line) SetDTR(on bool) error {
	return l.control("set DTR", func(p serial.Port) error { return p.SetDTR(on) })
}

// SetRTS sets the line "request to send", as SetDTR.
func (l *Line) SetRTS(on bool) error {
	return l.control("set RTS", func(p serial.Port) error { return p.SetRTS(on) })
}

// Break holds the line at zero for d, at most 5 s, and blocks so long. A pty
// takes it and does nothing.
func (l *Line) Break(d time.Duration) error {
	if d <= 0 || d > maxBreak {
		return fmt.Errorf("serialline: break of %v on %q: must be up to %v", d, l.cfg.ID, maxBreak)
	}
	return l.control("break", func(p serial.Port) error { return p.Break(d) })
}

// Modem reads the modem lines.
func (l *Line) Modem() (Modem, error) {
	var m Modem
	err := l.control("read the modem lines", func(p serial.Port) error {
		bits, err := p.GetModemStatusBits()
		if err == nil {
			m = Modem{CTS: bits.CTS, DSR: bits.DSR, DCD: bits.DCD, RI: bits.RI}
		}
		return err
	})
	return m, err
}

// SetBaud changes the speed of the open port, and of every opening from now on.
func (l *Line) SetBaud(baud int) error {
	l.ctl.Lock()
	defer l.ctl.Unlock()
	changed := l.cfg
	changed.Baud = baud
	mode, err := changed.portMode()
	if err != nil {
		return err
	}
	if l.port != nil {
		if err := l.port.SetMode(mode); err != nil {
			return openError(changed, err)
		}
	}
	l.baud = baud
	return nil
}

// control acts on the open port, which does not close meanwhile. The error
// wraps devices.ErrUnplugged while the port is away, or ErrNoModem.
func (l *Line) control(what string, act func(serial.Port) error) error {
	l.ctl.Lock()
	defer l.ctl.Unlock()
	if l.port == nil {
		return fmt.Errorf("serialline: %s of %q: %w", what, l.cfg.ID, devices.ErrUnplugged)
	}
	err := act(l.port)
	switch {
	case err == nil:
		return nil
	case noModemLines(err):
		return fmt.Errorf("serialline: %s of %q: %w", what, l.cfg.ID, ErrNoModem)
	}
	return fmt.Errorf("serialline: %s of %q: %w", what, l.cfg.ID, err)
}

package serialline

import (
	"errors"
	"fmt"

	"go.bug.st/serial"
)

// ErrNoCounts is returned where nothing counts what goes wrong on a line: a pty,
// a remote port, any system but Linux.
var ErrNoCounts = errors.New("serialline: the port counts no line errors")

// LineErrors are totals that the kernel keeps of a port since it was started; they
// wrap at 2^32.
type LineErrors struct {
	Break   uint32 // breaks that came
	Frame   uint32 // characters without stop bit
	Parity  uint32 // characters of wrong parity
	Overrun uint32 // characters lost in the UART
	Buffer  uint32 // characters lost in the kernel
}

// Since returns what was counted after before.
func (e LineErrors) Since(before LineErrors) LineErrors {
	return LineErrors{Break: e.Break - before.Break, Frame: e.Frame - before.Frame, Parity: e.Parity - before.Parity,
		Overrun: e.Overrun - before.Overrun, Buffer: e.Buffer - before.Buffer}
}

// LineErrors asks the kernel for its totals. It does not block; the error wraps
// ErrNoCounts, or devices.ErrUnplugged while the port is away.
func (l *Line) LineErrors() (LineErrors, error) {
	var e LineErrors
	err := l.control("count line errors", func(p serial.Port) (err error) {
		e, err = lineErrors(p)
		return err
	})
	if errors.Is(err, ErrNoModem) {
		err = fmt.Errorf("serialline: count line errors of %q: %w", l.cfg.ID, ErrNoCounts)
	}
	return e, err
}

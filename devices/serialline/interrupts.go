package serialline

import (
	"errors"

	"go.bug.st/serial"
)

// Interrupts are the counters that the kernel keeps of a port, since it was
// plugged in: bytes, and what it saw go wrong on the line.
type Interrupts struct {
	Received, Sent          int
	Framing, Parity, Breaks int
	Overrun                 int // bytes lost in the adapter
	Buffer                  int // bytes lost in the kernel
}

// ErrNoInterrupts is returned where a port has no such counters: a pty, a remote
// port, systems other than Linux.
var ErrNoInterrupts = errors.New("serialline: the port has no counters of line errors")

// Interrupts reads the counters (TIOCGICOUNT). It asks the descriptor in use: to
// open the port once more would raise DTR, on which many boards reset.
func (l *Line) Interrupts() (Interrupts, error) {
	var c Interrupts
	err := l.control("read the counters", func(p serial.Port) (err error) {
		c, err = interruptsOf(p)
		return err
	})
	return c, err
}

//go:build !linux

package serialline

import "go.bug.st/serial"

func interruptsOf(serial.Port) (Interrupts, error) { return Interrupts{}, ErrNoInterrupts }

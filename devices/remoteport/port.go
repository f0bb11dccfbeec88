package remoteport

import (
	"errors"
	"time"

	"go.bug.st/serial"
)

// Read implements serial.Port: (0, nil) after the timeout.
func (p *telnetPort) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.timeout == 0
	if p.timeout > 0 {
		timer := time.AfterFunc(p.timeout, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			late = true
			p.change.Broadcast()
		})
		defer timer.Stop()
	}
	for len(p.data) == 0 && p.err == nil && !late && !p.ended {
		p.change.Wait()
	}
	switch {
	case p.ended:
		return 0, nil
	case len(p.data) > 0:
		n := copy(b, p.data)
		p.data = append(p.data[:0], p.data[n:]...)
		p.change.Broadcast() // there is room again
		return n, nil
	}
	return 0, p.err
}

// Write implements serial.Port.
func (p *telnetPort) Write(b []byte) (int, error) {
	if err := p.send(appendEscaped(make([]byte, 0, len(b)+8), b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetReadTimeout implements serial.Port.
func (p *telnetPort) SetReadTimeout(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timeout = d
	return nil
}

// Unblock ends a read that waits, and all that follow.
func (p *telnetPort) Unblock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.change.Broadcast()
}

// Close implements serial.Port. It waits for the reading goroutine.
func (p *telnetPort) Close() error {
	err := p.conn.Close()
	p.mu.Lock()
	if p.err == nil {
		p.err = errClosed
	}
	p.change.Broadcast()
	p.mu.Unlock()
	<-p.done
	return err
}

// errClosed is what a read says after Close.
var errClosed = errors.New("remoteport: port is closed")

// Drain implements serial.Port: what was written is the server's.
func (p *telnetPort) Drain() error { return nil }

// Values of PURGE-DATA.
const (
	purgeInput  = 1
	purgeOutput = 2
)

// ResetInputBuffer implements serial.Port: here and at the server.
func (p *telnetPort) ResetInputBuffer() error {
	if err := p.set("purge", purge, purgeInput); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = p.data[:0]
	p.change.Broadcast()
	return nil
}

// ResetOutputBuffer implements serial.Port.
func (p *telnetPort) ResetOutputBuffer() error { return p.set("purge", purge, purgeOutput) }

// either chooses between two values.
func either(on bool, yes, no byte) byte {
	if on {
		return yes
	}
	return no
}

// SetDTR implements serial.Port.
func (p *telnetPort) SetDTR(on bool) error {
	return p.set("DTR", setControl, either(on, dtrOn, dtrOff))
}

// SetRTS implements serial.Port.
func (p *telnetPort) SetRTS(on bool) error {
	return p.set("RTS", setControl, either(on, rtsOn, rtsOff))
}

// Break implements serial.Port. It blocks for d.
func (p *telnetPort) Break(d time.Duration) error {
	// The answers are not compared: ser2net answers "on" to both.
	if _, err := p.ask("break", setControl, breakOn); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done:
	}
	_, err := p.ask("break", setControl, breakOff)
	return err
}

// Bits of NOTIFY-MODEMSTATE (RFC 2217 section 3).
const (
	stateDCD = 1 << 7
	stateRI  = 1 << 6
	stateDSR = 1 << 5
	stateCTS = 1 << 4
)

// GetModemStatusBits implements serial.Port: what the server told last. Until
// it told anything the error is ErrNoLines.
func (p *telnetPort) GetModemStatusBits() (*serial.ModemStatusBits, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if !p.known {
		return nil, ErrNoLines
	}
	return &serial.ModemStatusBits{DCD: p.modem&stateDCD != 0, RI: p.modem&stateRI != 0, DSR: p.modem&stateDSR != 0, CTS: p.modem&stateCTS != 0}, nil
}

// ErrNoLines is returned while the server has told nothing of modem lines: its
// port may have none.
var ErrNoLines = errors.New("remoteport: the server has told nothing of modem lines")

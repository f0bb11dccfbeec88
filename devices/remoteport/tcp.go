package remoteport

import (
	"errors"
	"net"
	"os"
	"time"

	"go.bug.st/serial"
)

// pollWait is how long a read waits that was told not to: bytes that lie in the
// connection are found, and no more.
const pollWait = time.Millisecond

// tcpPort is a connection that carries the bytes of a port.
type tcpPort struct {
	conn    net.Conn
	timeout time.Duration
}

var _ serial.Port = (*tcpPort)(nil)

// Read implements serial.Port: (0, nil) after the timeout.
func (p *tcpPort) Read(b []byte) (int, error) {
	if p.timeout != serial.NoTimeout {
		if err := p.conn.SetReadDeadline(time.Now().Add(max(p.timeout, pollWait))); err != nil {
			return 0, err
		}
	}
	n, err := p.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// Write implements serial.Port.
func (p *tcpPort) Write(b []byte) (int, error) { return p.conn.Write(b) }

// SetWriteDeadline bounds the writes that follow, and one that blocks now.
func (p *tcpPort) SetWriteDeadline(t time.Time) error { return p.conn.SetWriteDeadline(t) }

// SetReadTimeout implements serial.Port.
func (p *tcpPort) SetReadTimeout(d time.Duration) error {
	p.timeout = d
	return p.conn.SetReadDeadline(time.Time{})
}

// Unblock ends a read that waits without a timeout, and all that follow.
func (p *tcpPort) Unblock() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) }

// Close implements serial.Port.
func (p *tcpPort) Close() error { return p.conn.Close() }

// Drain implements serial.Port: what was written is the network's.
func (p *tcpPort) Drain() error { return nil }

// ResetInputBuffer implements serial.Port: what lies here is read by Read.
func (p *tcpPort) ResetInputBuffer() error { return nil }

// ResetOutputBuffer implements serial.Port.
func (p *tcpPort) ResetOutputBuffer() error { return nil }

// SetMode returns ErrNoControl, as all below.
func (p *tcpPort) SetMode(*serial.Mode) error { return ErrNoControl }

// SetDTR implements serial.Port.
func (p *tcpPort) SetDTR(bool) error { return ErrNoControl }

// SetRTS implements serial.Port.
func (p *tcpPort) SetRTS(bool) error { return ErrNoControl }

// Break implements serial.Port.
func (p *tcpPort) Break(time.Duration) error { return ErrNoControl }

// GetModemStatusBits implements serial.Port.
func (p *tcpPort) GetModemStatusBits() (*serial.ModemStatusBits, error) { return nil, ErrNoControl }

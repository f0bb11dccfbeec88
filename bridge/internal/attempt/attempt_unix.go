//go:build unix

package attempt

import (
	"errors"
	"net"
	"syscall"

	"plumbline/bridge/internal/peer"
)

// Attempt writes to a TCP socket without waiting for room, and without the deadlines of the connection. Its owner guards it.
type Attempt struct {
	raw  syscall.RawConn
	once func(fd uintptr) // made once: a closure for each write would be garbage
	p    []byte
	n    int
	err  error
}

// New returns nil when c cannot be written to in this way.
func New(c net.Conn) *Attempt {
	tcp, ok := peer.TCP(c)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	a := &Attempt{raw: raw}
	a.once = func(fd uintptr) {
		for {
			if a.n, a.err = writeNow(int(fd), a.p); !errors.Is(a.err, syscall.EINTR) {
				return // whatever happened: do not wait
			}
		}
	}
	return a
}

// Write returns how much of p the system took at once.
func (a *Attempt) Write(p []byte) (n int, err error) {
	a.p, a.n, a.err = p, 0, nil
	err = a.raw.Control(a.once) // Write would look at deadlines and at who else writes
	a.p = nil
	if err == nil && !errors.Is(a.err, syscall.EAGAIN) {
		err = a.err
	}
	return max(a.n, 0), err
}

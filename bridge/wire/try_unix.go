//go:build unix

package wire

import (
	"errors"
	"net"
	"syscall"

	"plumbline/bridge/internal/peer"
)

// attempt writes to a TCP socket without waiting for room, and without the deadlines of the connection. Its owner guards it.
type attempt struct {
	raw  syscall.RawConn
	once func(fd uintptr) // made once: a closure for each write would be garbage
	p    []byte
	n    int
	err  error
}

// newAttempt returns nil when c cannot be written to in this way.
func newAttempt(c net.Conn) *attempt {
	tcp, ok := peer.TCP(c)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	a := &attempt{raw: raw}
	a.once = func(fd uintptr) {
		for {
			if a.n, a.err = writeNow(int(fd), a.p); !errors.Is(a.err, syscall.EINTR) {
				return // whatever happened: do not wait
			}
		}
	}
	return a
}

// write returns how much of p the system took at once.
func (a *attempt) write(p []byte) (n int, err error) {
	a.p, a.n, a.err = p, 0, nil
	err = a.raw.Control(a.once) // Write would look at deadlines and at who else writes
	a.p = nil
	if err == nil && !errors.Is(a.err, syscall.EAGAIN) {
		err = a.err
	}
	return max(a.n, 0), err
}

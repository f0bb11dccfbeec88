//go:build unix

package wire

import (
	"errors"
	"net"
	"syscall"

	"plumbline/bridge/internal/peer"
)

// attempt writes to a socket without waiting for room. It exists for plain TCP only: under TLS nobody can take back what did not
// fit. Its owner guards it.
type attempt struct {
	raw  syscall.RawConn
	once func(fd uintptr) bool // made once: a closure for each write would be garbage
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
	a.once = func(fd uintptr) bool {
		for {
			if a.n, a.err = syscall.Write(int(fd), a.p); !errors.Is(a.err, syscall.EINTR) {
				return true // whatever happened: do not wait
			}
		}
	}
	return a
}

// write returns how much of p the system took at once.
func (a *attempt) write(p []byte) (n int, err error) {
	a.p, a.n, a.err = p, 0, nil
	err = a.raw.Write(a.once)
	a.p = nil
	if err == nil && !errors.Is(a.err, syscall.EAGAIN) {
		err = a.err
	}
	return max(a.n, 0), err
}

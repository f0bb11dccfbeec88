//go:build unix

package load

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryWrite writes as much of b as the kernel takes at once and never waits. It
// reports false when the connection cannot be written to in this way (TLS).
func tryWrite(conn net.Conn, b []byte) (n int, ok bool, err error) {
	raw, is := conn.(*net.TCPConn)
	if !is {
		return 0, false, nil
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	var writeErr error
	err = control.Write(func(fd uintptr) bool {
		for {
			n, writeErr = unix.Write(int(fd), b)
			if !errors.Is(writeErr, syscall.EINTR) {
				return true // whatever happened: do not wait for room
			}
		}
	})
	n = max(n, 0)
	switch {
	case err != nil:
		return n, true, err
	case errors.Is(writeErr, syscall.EAGAIN):
		return n, true, nil
	default:
		return n, true, writeErr
	}
}

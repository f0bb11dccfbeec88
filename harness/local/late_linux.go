package local

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// late leaves the choice of a port to connect (ip(7), IP_BIND_ADDRESS_NO_PORT, Linux 4.2; it is for IPv6 too).
func late(_, _ string, raw syscall.RawConn) error {
	var err error
	if control := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); control != nil {
		return control
	}
	return err
}

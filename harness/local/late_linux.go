package local

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// late leaves the choice of a port to connect (ip(7), IP_BIND_ADDRESS_NO_PORT, Linux 4.2; it is for IPv6 too). A system
// that does not know it chooses at once.
func late(_, _ string, raw syscall.RawConn) error {
	var err error
	if control := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); control != nil {
		return control
	}
	if errors.Is(err, unix.ENOPROTOOPT) {
		return nil
	}
	return err
}

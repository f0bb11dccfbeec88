package serialline

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"go.bug.st/serial"
)

// kernelCounts is struct serial_icounter_struct of linux/serial.h.
type kernelCounts struct {
	cts, dsr, rng, dcd, rx, tx            int32
	frame, overrun, parity, brk, overflow int32
	reserved                              [9]int32
}

// lineErrors asks the port's driver (TIOCGICOUNT, tty_ioctl(4)).
func lineErrors(port serial.Port) (LineErrors, error) {
	p, is := port.(*polled)
	if !is {
		return LineErrors{}, ErrNoCounts
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return LineErrors{}, err
	}
	var k kernelCounts
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&k))) //nolint:gosec // the kernel takes a pointer
	})
	switch {
	case err != nil:
		return LineErrors{}, err
	case errors.Is(errno, unix.ENOTTY), errors.Is(errno, unix.EINVAL), errors.Is(errno, unix.EOPNOTSUPP):
		return LineErrors{}, ErrNoCounts
	case errno != 0:
		return LineErrors{}, errno
	}
	return LineErrors{Break: uint32(k.brk), Frame: uint32(k.frame), Parity: uint32(k.parity),
		Overrun: uint32(k.overrun), Buffer: uint32(k.overflow)}, nil
}

package serialline

import (
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"go.bug.st/serial"
)

// kernelRS485 is struct serial_rs485 of linux/serial.h.
type kernelRS485 struct {
	flags   uint32
	before  uint32 // ms
	after   uint32 // ms
	padding [5]uint32
}

// Flags of linux/serial.h.
const (
	rs485Enabled      = 1 << 0
	rs485RTSOnSend    = 1 << 1
	rs485RTSAfterSend = 1 << 2
	rs485RxDuringTx   = 1 << 4
)

func (r RS485) kernel() kernelRS485 {
	k := kernelRS485{flags: rs485Enabled, before: uint32(r.BeforeSend / time.Millisecond), after: uint32(r.AfterSend / time.Millisecond)}
	if r.RTSLow {
		k.flags |= rs485RTSAfterSend
	} else {
		k.flags |= rs485RTSOnSend
	}
	if r.HearOneself {
		k.flags |= rs485RxDuringTx
	}
	return k
}

// setRS485 hands the setting to the port's driver; errNoRS485 when it has none.
func setRS485(port serial.Port, r RS485) error {
	p, is := port.(*polled)
	if !is {
		return errNoRS485
	}
	k := r.kernel()
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCSRS485, uintptr(unsafe.Pointer(&k))) //nolint:gosec // the kernel takes a pointer
	})
	switch {
	case err != nil:
		return err
	case errno == 0:
		return nil
	case errors.Is(errno, unix.ENOTTY), errors.Is(errno, unix.EOPNOTSUPP):
		return errNoRS485
	}
	return errno
}

package serialline

import (
	"unsafe"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// kernelCounters is struct serial_icounter_struct of linux/serial.h.
type kernelCounters struct {
	cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, bufOverrun int32
	reserved                                                            [9]int32
}

// tiocgicount is TIOCGICOUNT of asm-generic/ioctls.h.
const tiocgicount = 0x545D

func interruptsOf(port serial.Port) (Interrupts, error) {
	p, is := port.(*polled)
	if !is {
		return Interrupts{}, ErrNoInterrupts
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return Interrupts{}, err
	}
	var k kernelCounters
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, tiocgicount, uintptr(unsafe.Pointer(&k))) //nolint:gosec // the kernel takes a pointer
	})
	switch {
	case err != nil:
		return Interrupts{}, err
	case errno == unix.ENOTTY || errno == unix.EINVAL:
		return Interrupts{}, ErrNoInterrupts
	case errno != 0:
		return Interrupts{}, errno
	}
	return Interrupts{Received: int(k.rx), Sent: int(k.tx), Framing: int(k.frame), Parity: int(k.parity), Breaks: int(k.brk),
		Overrun: int(k.overrun), Buffer: int(k.bufOverrun)}, nil
}

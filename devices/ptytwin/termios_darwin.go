package ptytwin

import "golang.org/x/sys/unix"

// inputQueue is the request for the number of unread bytes: FIONREAD of
// sys/filio.h, _IOR('f', 127, int).
const inputQueue = 0x4004667f

// setRaw makes the terminal transparent: cfmakeraw of termios(3).
func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return err
	}
	rawTermios(t)
	return unix.IoctlSetTermios(fd, unix.TIOCSETA, t)
}

// framingOf reads what the host set.
func framingOf(fd int) (bits, baud int, err error) {
	t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA)
	if err != nil {
		return 0, 0, err
	}
	bits = 1 + 8 + 1
	if t.Cflag&unix.PARENB != 0 {
		bits++
	}
	if t.Cflag&unix.CSTOPB != 0 {
		bits++
	}
	return bits, int(t.Ospeed), nil
}

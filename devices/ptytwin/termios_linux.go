package ptytwin

import "golang.org/x/sys/unix"

// inputQueue is the request for the number of unread bytes.
const inputQueue = unix.TIOCINQ

// setRaw makes the terminal transparent: cfmakeraw of termios(3).
func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	rawTermios(t)
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// framingOf reads what the host set. On a pty's master TCGETS2 returns the
// slave's settings; the pty driver keeps 8 data bits and drops PARENB, parity
// shows only in INPCK, which the serial library sets along with it.
func framingOf(fd int) (bits, baud int, err error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return 0, 0, err
	}
	bits = 1 + 8 + 1 // start, data, stop
	if t.Iflag&unix.INPCK != 0 || t.Cflag&unix.PARENB != 0 {
		bits++
	}
	if t.Cflag&unix.CSTOPB != 0 {
		bits++
	}
	return bits, int(t.Ospeed), nil
}

//go:build unix

package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// noFollow refuses to open a symbolic link.
const noFollow = unix.O_NOFOLLOW

// TryFile takes the file for this process as long as it is open; held means
// that another has it. The hold ends with the process. It does not block.
func TryFile(f *os.File) (held bool, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return false, err
	}
	if errors.Is(inner, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, inner
}

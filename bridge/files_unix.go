//go:build unix

package bridge

import "golang.org/x/sys/unix"

// openFiles returns how many files the process may open, 0 when that is not known.
func openFiles() uint64 {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0
	}
	return uint64(lim.Cur) //nolint:unconvert // the field is signed on some systems
}

//go:build unix

package bench

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readable reports whether this process may read and write the file.
func readable(path string) bool { return unix.Access(path, unix.R_OK|unix.W_OK) == nil }

// fileLimit returns how many files a process may open at most.
func fileLimit() (uint64, bool) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0, false
	}
	return uint64(limit.Max), true //nolint:unconvert // it is signed on FreeBSD
}

//go:build unix

package inventory

import (
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// usable reports whether this process may read and write the file.
func usable(path string) bool { return unix.Access(path, unix.R_OK|unix.W_OK) == nil }

// sameDevice reports whether two paths lead to the same device. Pseudo terminals
// (majors 136 to 143 of Linux) are numbered anew by each of their file systems.
func sameDevice(a, b string) bool {
	var x, y unix.Stat_t
	if unix.Stat(a, &x) != nil || unix.Stat(b, &y) != nil || x.Rdev != y.Rdev {
		return false
	}
	major := unix.Major(uint64(x.Rdev)) //nolint:unconvert // it is narrower on other systems
	return x.Dev == y.Dev || major != 0 && (major < 136 || major > 143)
}

// ownerGroup returns the name of the group that the file belongs to.
func ownerGroup(info os.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	group, err := user.LookupGroupId(strconv.FormatUint(uint64(stat.Gid), 10))
	if err != nil {
		return ""
	}
	return group.Name
}

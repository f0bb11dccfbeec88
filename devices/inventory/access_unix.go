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

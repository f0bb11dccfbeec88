package lock

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// holder returns the process that has taken an open file, as the kernel lists it
// for everybody in /proc/locks (proc_locks(5)); 0 when it lists none, or one that
// has gone and left the file to a child.
func holder(file *os.File) int {
	info, err := file.Stat()
	if err != nil {
		return 0
	}
	at, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	pid := listed(string(table), fmt.Sprintf("%02x:%02x:%d", unix.Major(at.Dev), unix.Minor(at.Dev), at.Ino))
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); err != nil {
		return 0
	}
	return pid
}

// listed finds in such a table who has taken a file, "device:inode"; those who wait
// for it have an arrow. A process of another namespace is listed as 0 or less.
func listed(table, file string) int {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

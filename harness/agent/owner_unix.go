//go:build unix

package agent

import (
	"io/fs"
	"os"
	"syscall"
)

// owner is the user whose file that is.
func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return os.Geteuid()
	}
	return int(stat.Uid)
}

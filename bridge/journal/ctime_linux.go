package journal

import (
	"os"
	"syscall"
	"time"
)

// changeTime returns when the kernel last changed the inode: the one time stamp
// that copying a file cannot bring along.
func changeTime(info os.FileInfo) (time.Time, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(st.Ctim.Unix()), true
}

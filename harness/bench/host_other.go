//go:build !unix

package bench

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func readable(string) bool { return true }

func fileLimit() (uint64, bool) { return 0, false }

// lock takes the file for this process as long as it is open; held means that
// another process has it. The lock dies with its process. It covers a byte far
// behind the text, which others must be able to read.
func lock(f *os.File) (held bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

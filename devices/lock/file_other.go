//go:build !unix

package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// noFollow has no counterpart here: links need a privilege.
const noFollow = 0

// TryFile takes the file for this process as long as it is open; held means
// that another has it. The hold ends with the process. It does not block. It
// covers a byte far behind the text, which others must be able to read.
func TryFile(f *os.File) (held bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}

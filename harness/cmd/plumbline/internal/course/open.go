package course

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// Open returns where --events writes to: a descriptor that the caller of this
// program has opened, when where is a number, else a file, which is made or
// replaced. A named pipe must have its reader already. The caller closes it.
func Open(where string) (*os.File, error) {
	if fd, err := strconv.ParseUint(where, 10, 31); err == nil {
		return openDescriptor(uintptr(fd))
	}
	info, err := os.Stat(where)
	pipe := err == nil && info.Mode()&fs.ModeNamedPipe != 0
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if pipe {
		flags = os.O_WRONLY | notWaiting
	}
	f, err := os.OpenFile(where, flags, 0o644) //nolint:gosec // G302: what a run says of itself is no secret
	if pipe && err != nil {
		return nil, fmt.Errorf("named pipe %q: %w; start its reader first", where, err)
	}
	return f, err
}

func openDescriptor(fd uintptr) (*os.File, error) {
	f := os.NewFile(fd, fmt.Sprintf("descriptor %d", fd))
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is no number of one", fd)
	}
	if _, err := f.Stat(); err != nil {
		return nil, errors.Join(fmt.Errorf("descriptor %d is not open: %w; for a file of that name write ./%d", fd, err, fd), f.Close())
	}
	return f, nil
}

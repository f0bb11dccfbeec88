//go:build !linux

package serialline

import (
	"fmt"
	"os"
	"runtime"

	"go.bug.st/serial"
)

// openNative opens a port of this machine.
func openNative(path string, mode *serial.Mode) (serial.Port, error) {
	if err := guardDescriptors(); err != nil {
		return nil, err
	}
	return serial.Open(path, mode)
}

// guardDescriptors refuses to open a port when the next descriptors would be
// too high for select(2). The library needs three: the port and a pipe.
func guardDescriptors() error {
	if runtime.GOOS == "windows" {
		return nil // handles are waited for in another way
	}
	const needed, limit = 3, 1024
	for range needed {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if fd := f.Fd(); fd >= limit {
			return fmt.Errorf("%w: the next is %d and the serial library waits with select(2), which ends at %d; "+
				"open serial ports before the many connections, or keep them in a process of their own", ErrDescriptor, fd, limit-1)
		}
	}
	return nil
}

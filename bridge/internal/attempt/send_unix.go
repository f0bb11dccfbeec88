//go:build unix && !linux

package attempt

import "syscall"

// writeNow writes to a stream socket that does not block.
func writeNow(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }

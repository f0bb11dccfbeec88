package attempt

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// writeNow writes to a stream socket that does not block. Of send(2) and write(2) the former has the shorter way through the kernel.
func writeNow(fd int, p []byte) (int, error) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0) //nolint:gosec // the only way to the bytes that the call reads
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

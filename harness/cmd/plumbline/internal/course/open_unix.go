//go:build unix

package course

import "syscall"

// notWaiting lets the opening of a pipe without a reader fail instead of wait.
const notWaiting = syscall.O_NONBLOCK

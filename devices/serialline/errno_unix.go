//go:build unix

package serialline

import "syscall"

// errNoTTY is what a port without modem lines answers.
var errNoTTY error = syscall.ENOTTY

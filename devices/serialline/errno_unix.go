//go:build unix

package serialline

import "syscall"

// errNoTTY is what a port without modem lines answers.
var errNoTTY error = syscall.ENOTTY

// errBusy is what a port answers that another program has claimed.
var errBusy error = syscall.EBUSY

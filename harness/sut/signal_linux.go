package sut

import "syscall"

// ownGroup keeps Ctrl-C of the terminal from the child and kills the child
// when the harness dies without a chance to do so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

package virtual

import "syscall"

// dieWithParent lets the kernel kill the child when the thread that started it
// ends, and keeps Ctrl-C of the terminal from it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

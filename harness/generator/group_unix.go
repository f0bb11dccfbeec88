//go:build unix

package generator

import "syscall"

// OwnGroup keeps Ctrl-C of the terminal from a program that is started with it:
// the harness ends it when its turn has come.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

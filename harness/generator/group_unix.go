//go:build unix

package generator

import "syscall"

// ownGroup keeps Ctrl-C of the terminal from the generator: the harness ends it
// when its turn has come.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

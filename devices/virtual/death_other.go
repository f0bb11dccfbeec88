//go:build !linux

package virtual

import "syscall"

// dieWithParent: only Linux ends a child with its parent; elsewhere a machine
// outlives a process that is killed before it could close it.
func dieWithParent() *syscall.SysProcAttr { return nil }

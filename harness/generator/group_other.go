//go:build !unix

package generator

import "syscall"

// OwnGroup changes nothing here.
func OwnGroup() *syscall.SysProcAttr { return nil }

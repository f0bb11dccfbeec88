//go:build !unix

package generator

import "syscall"

// ownGroup changes nothing here.
func ownGroup() *syscall.SysProcAttr { return nil }

//go:build !unix

package inventory_test

import "syscall"

func credential(uint32) *syscall.SysProcAttr { return nil }

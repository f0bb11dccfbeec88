//go:build unix && !linux

package sut

import (
	"errors"
	"syscall"
)

// ownGroup keeps Ctrl-C of the terminal from the child. There is no death
// signal here: a harness that is killed leaves its children running.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// crowded reports whether there is a process in the group.
func crowded(group int) bool { return !errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) }

// stopped cannot be told here without a privilege; the signal takes effect soon.
func stopped(int) bool { return true }

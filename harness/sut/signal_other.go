//go:build !unix

package sut

import (
	"fmt"
	"os"
	"syscall"
)

const (
	sigKill     = syscall.SIGKILL
	sigStop     = syscall.Signal(-1)
	sigContinue = syscall.Signal(-2)
)

// signalGroup kills the process; there are no other signals on this system.
func signalGroup(p *os.Process, s syscall.Signal) error {
	switch {
	case p == nil:
		return os.ErrProcessDone
	case s == sigKill:
		return p.Kill()
	case s == sigContinue:
		return nil
	default:
		return fmt.Errorf("a process cannot be frozen on this system: %w", ErrNoControl)
	}
}

// terminate kills: there is no polite way on this system.
func terminate(p *os.Process) error { return p.Kill() }

// obeyedWell cannot be told where nobody is asked.
func obeyedWell(*os.ProcessState) bool { return true }

func ownGroup() *syscall.SysProcAttr { return nil }

func stopped(int) bool { return true }

// crowded cannot be told: there are no groups.
func crowded(int) bool { return false }

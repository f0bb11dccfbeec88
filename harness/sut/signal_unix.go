//go:build unix

package sut

import (
	"errors"
	"os"
	"syscall"
)

const (
	sigKill     = syscall.SIGKILL
	sigStop     = syscall.SIGSTOP
	sigContinue = syscall.SIGCONT
)

// signalGroup sends the signal to every process of the group that p leads.
func signalGroup(p *os.Process, s syscall.Signal) error {
	if p == nil {
		return os.ErrProcessDone
	}
	err := syscall.Kill(-p.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// obeyedWell reports whether a process that was asked to end did so in good
// order: with status 0, by the signal, or with what shells make of that.
func obeyedWell(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return state.Success() || (ok && status.Signaled() && status.Signal() == syscall.SIGTERM) || state.ExitCode() == 128+int(syscall.SIGTERM)
}

// terminate asks the process itself to end; what it started is its own affair.
func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

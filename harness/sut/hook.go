package sut

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// hookLimit bounds a hook, whatever the context says.
const hookLimit = time.Minute

// hook runs a command of the descriptor. What it does to processes that were
// started from here is wanted. What it starts itself may outlive it, unless it
// does not end in time: then all of it is killed.
func (s *SUT) hook(ctx context.Context, name string, command []string) error {
	for _, c := range s.processes() {
		if c != nil {
			c.wanted.Store(true)
		}
	}
	return s.gently(ctx, name, command)
}

// gently runs a hook after which every process is to run on.
func (s *SUT) gently(ctx context.Context, name string, command []string) error {
	// A file, not a pipe: a pipe would be waited for until the last daemon
	// that the hook has started closes it.
	path := filepath.Join(s.dir, "hook-"+name+".log")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // artifacts are there to be read by others
	if err != nil {
		return fmt.Errorf("sut: hook %s: %w", name, err)
	}
	defer func() { _ = out.Close() }()
	from := int64(0)
	if info, err := out.Stat(); err == nil {
		from = info.Size()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hookLimit, fmt.Errorf("it took more than %v", hookLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.source.dir, environment(), out, out
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return signalGroup(cmd.Process, sigKill) }
	// The death signal is bound to the thread, see launch.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("sut: hook %s: %w: %w%s", name, ErrUnavailable, err, quoteLines(lastLines(path, from, 10)))
	}
	return nil
}

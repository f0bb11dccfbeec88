//go:build amd64

package fault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds how long a process is waited for to stand still.
const patience = 5 * time.Second

// standStill stops all threads of a process, calls work, and lets them go on; it
// does so again as long as work asks for it. One that was stopped stays so.
func standStill(pid int, work func() (again bool, err error)) error {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		still, err := stopped(pid)
		if err != nil {
			return err
		}
		ours := !still
		if ours {
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				return fmt.Errorf("%w: stop it: %w", ErrUnavailable, err)
			}
		}
		for !still && err == nil && time.Now().Before(deadline) {
			<-tick.C
			still, err = stopped(pid)
		}
		again := true
		if still && err == nil {
			again, err = work()
		}
		if ours {
			err = errors.Join(err, unix.Kill(pid, unix.SIGCONT))
		}
		if err != nil || !again {
			return err
		}
		<-tick.C
	}
	return fmt.Errorf("it did not stand still within %v", patience)
}

// stopped reports whether every thread of a process stands still.
func stopped(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false, os.ErrProcessDone
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		// The name in parentheses may hold anything (proc_pid_stat(5)).
		_, rest, _ := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" "))
		if len(rest) == 0 || rest[0] != 'T' && rest[0] != 't' && rest[0] != 'Z' {
			return false, nil
		}
	}
	return true, nil
}

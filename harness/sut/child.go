package sut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// child is one running process of the system. It is made by launch and lives
// until done is closed; it is not started a second time.
type child struct {
	spec    Process
	logPath string
	from    int64 // size of the log file at the start of this process
	process *os.Process
	wanted  atomic.Bool   // its end was asked for
	ready   atomic.Bool   // it was ready once
	done    chan struct{} // closed when the process and its group are gone; state is valid then
	state   *os.ProcessState
}

// launch starts the process in a process group of its own, on a machine that has
// been up for so long where uptime is not 0. ended is called once when it is gone.
//
// One goroutine, locked to its thread, starts the process and waits for it: the
// death signal of Linux is bound to the thread that forked, not to the process,
// and the thread of any other goroutine may go away first (prctl(2)).
func launch(spec Process, dir string, uptime time.Duration, log *slog.Logger, ended func(*child)) (*child, error) {
	c := &child{spec: spec, logPath: filepath.Join(dir, spec.Name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // artifacts are there to be read by others
	if err != nil {
		return nil, fmt.Errorf("sut: log of %q: %w", spec.Name, err)
	}
	if info, err := out.Stat(); err == nil {
		c.from = info.Size()
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if uptime == 0 {
			defer runtime.UnlockOSThread()
		} else if err := setUptime(uptime); err != nil { // its thread ends with this goroutine
			started <- err
			return
		}
		// The process outlives the context that it was started in.
		cmd := exec.CommandContext(context.Background(), spec.Command[0], spec.Command[1:]...)
		cmd.Dir, cmd.Env = spec.Dir, append(environment(), spec.Env...)
		// The log is a file, not a pipe: what was printed outlives both of us,
		// and a slow reader here cannot slow the system under test.
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = ownGroup()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // the state says it all
		// What the process left behind in its group goes with it, however it ended,
		// and has gone before anybody takes it to be gone: it may hold a port.
		_ = signalGroup(c.process, sigKill)
		awaitEmpty(c.process.Pid)
		c.state = cmd.ProcessState
		_ = out.Close()
		close(c.done)
		ended(c)
	}()
	if err := <-started; err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("sut: start %q: %w: %w; check the command in the descriptor", spec.Name, ErrUnavailable, err)
	}
	log.Debug("process started", "name", spec.Name, "pid", c.process.Pid)
	return c, nil
}

// groupPatience is how long killed processes may take to end: one that holds
// much memory takes its time, one that waits for a dead disk for ever.
const groupPatience = 10 * time.Second

// awaitEmpty returns when no process of the group runs any more, or when
// patience is over.
func awaitEmpty(group int) {
	for deadline := time.Now().Add(groupPatience); crowded(group) && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
}

// environment is our own without what would change the settings of bridged
// behind the back of its configuration, which is what the report shows.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PLUMBLINE_BRIDGE_") })
}

// running reports whether the process has not ended yet.
func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// kill ends the whole process group with SIGKILL and waits until it is gone.
func (c *child) kill() error {
	c.wanted.Store(true)
	if err := signalGroup(c.process, sigKill); err != nil && c.running() && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sut: kill %q: %w", c.spec.Name, err)
	}
	<-c.done
	return nil
}

// stop asks the process to end and kills it when it did not within limit or
// before cancel is closed. It reports whether the process obeyed.
func (c *child) stop(cancel <-chan struct{}, limit time.Duration) (obeyed bool, err error) {
	c.wanted.Store(true)
	_ = signalGroup(c.process, sigContinue) // a frozen process hears nothing else
	if err := terminate(c.process); err != nil && c.running() {
		return false, errors.Join(err, c.kill())
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.done:
		return true, nil
	case <-timer.C:
	case <-cancel:
	}
	return false, c.kill()
}

// end says how the process ended, for example "exit status 4". Valid after done.
func (c *child) end() string { return c.state.String() }

// lines returns up to n of the last lines that this process printed.
func (c *child) lines(n int) []string { return lastLines(c.logPath, c.from, n) }

// lastLines reads the last lines of a file, ignoring what lies before from, unless the
// file was shortened since. It looks at the last 64 KiB only.
func lastLines(path string, from int64, n int) []string {
	const window = 64 << 10
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	if from > size {
		from = 0
	}
	start := max(from, size-window)
	buf := make([]byte, size-start)
	read, err := f.ReadAt(buf, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	text := strings.TrimRight(string(buf[:read]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"time"

	"plumbline/harness/generator"
	"plumbline/harness/remote"
)

// farewell is how long a process may take to end once its input was closed.
const farewell = 10 * time.Second

// patience is how long a process may take to end a call that was cancelled: much longer
// than any needs, for machines that stand still for a while.
const patience = 30 * time.Second

// errEnded says that a process of this host has ended, or its link; there is no other to turn to.
var errEnded = errors.New("its process has ended or answers no more")

// process is an agent that Launch started.
type process struct {
	cmd  *exec.Cmd
	said *generator.Words
}

// Launch starts a program that does ServeHere over its standard streams: an agent in a
// process of its own on this host, which has descriptors of its own. It needs neither
// secret nor certificate, keeps the clock of the bench, and records straight into
// SessionConfig.Dir. name is for errors and reports. It blocks until the program has
// greeted or ctx ends, and up to 10 s more for one that does not end then; Close ends the
// process.
func Launch(ctx context.Context, name string, command []string, log *slog.Logger) (*Host, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Host{target: Target{Address: name}, log: log, own: &process{said: generator.NewWords(log)}}
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // the end of its input ends it, and Close
	cmd.SysProcAttr = generator.OwnGroup()
	cmd.Stderr, cmd.WaitDelay = h.own.said, farewell
	out, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", name, err)
	}
	in, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("agent %s: start %q: %w", name, command[0], err)
	}
	h.own.cmd = cmd
	limited, cancel := context.WithTimeoutCause(ctx, handshakeLimit, fmt.Errorf("it did not greet within %v", handshakeLimit))
	defer cancel()
	if h.link, err = remote.Open(limited, in, out, remote.Config{Patience: patience}); err != nil {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return nil, h.failed(err)
	}
	if err := h.link.Call(ctx, callAbout, struct{}{}, &h.about); err != nil {
		return nil, h.failed(err)
	}
	return h, nil
}

// failed ends a process that is of no use. What it said is whole once it has ended.
func (h *Host) failed(err error) error {
	_ = h.Close() // always nil
	return fmt.Errorf("agent %s: %w%s", h.target.Address, err, h.own.said.Last())
}

// PID is that of an agent that Launch started, 0 for any other.
func (h *Host) PID() int {
	if h.own == nil {
		return 0
	}
	return h.own.cmd.Process.Pid
}

// end waits for the process, whose input is closed, and kills it when it does not end.
func (p *process) end() {
	late := time.AfterFunc(farewell, func() { _ = p.cmd.Process.Kill() }) // it is gone already when that fails
	defer late.Stop()
	_ = p.cmd.Wait() // what it did not do is told by its sessions
}

// ServeHere is an agent for the one harness on the other side of in and out, which is on
// this host and whose trust it has. It returns when that side has ended the link or ctx
// has ended, and all its viewers with it. Secret, Certificate, Dir and Clock of the
// settings count for nothing.
func ServeHere(ctx context.Context, in io.ReadCloser, out io.WriteCloser, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := newServer(ctx, cfg)
	a.here = true
	link, err := remote.Open(ctx, in, out, remote.Config{Handle: a.handle})
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	bounded := make(chan struct{})
	go func() { defer close(bounded); a.expire(ctx) }()
	select {
	case <-link.Done():
	case <-ctx.Done():
	}
	err = link.Err()
	_ = link.Close() // always nil
	cancel()
	<-bounded
	a.endAll()
	if errors.Is(err, remote.ErrClosed) {
		return nil
	}
	return err
}

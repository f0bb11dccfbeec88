//go:build unix

package terminaltest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Session is a program on a pseudo terminal. Its methods fail the test that it was
// started for.
type Session struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	before *term.State // of the line discipline

	mu    sync.Mutex
	vt    *VT
	raw   strings.Builder
	news  chan struct{}
	ended chan struct{} // nobody writes to the terminal any more
	slave *os.File      // keeps it open, so that it can be looked at after the end
}

// Start starts a program on a terminal of 100 × 30 and kills it at the end of the
// test. To the program the terminal is an xterm with colours.
func Start(t *testing.T, cmd *exec.Cmd) *Session {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	s := &Session{t: t, cmd: cmd, master: master, slave: slave, vt: New(100, 30), news: make(chan struct{}, 1), ended: make(chan struct{})}
	if s.before, err = term.GetState(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.cmd.Env = append(cmd.Environ(), "TERM=xterm", "NO_COLOR=", "PS1=$ ")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		_, _ = slave.Close(), master.Close() // the program is gone, nothing is lost
		<-s.ended
	})
	return s
}

func (s *Session) read() {
	defer close(s.ended)
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		_, _ = s.vt.Write(buf[:n])
		s.raw.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Shown returns what the terminal shows, the scrollback included.
func (s *Session) Shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vt.Text()
}

// Sent returns all bytes that the terminal was sent.
func (s *Session) Sent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}

// Type types text at the terminal.
func (s *Session) Type(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatal(err)
	}
}

// Signal sends a signal to the program.
func (s *Session) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Resize gives the window another size.
func (s *Session) Resize(width, height int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vt.Resize(width, height)
	if err := pty.Setsize(s.master, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}); err != nil {
		s.t.Fatal(err)
	}
}

// Wait waits until the terminal shows what fits, at most a minute.
func (s *Session) Wait(what string, fits func(text string) bool) {
	s.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for !fits(s.Shown()) {
		select {
		case <-s.news:
		case <-limit.C:
			s.t.Fatalf("waited a minute for %s; the terminal shows\n%s", what, s.Shown())
		}
	}
}

// WaitFor waits until the terminal shows text.
func (s *Session) WaitFor(text string) {
	s.t.Helper()
	s.Wait(fmt.Sprintf("%q", text), func(shown string) bool { return strings.Contains(shown, text) })
}

// Ever waits until the terminal was sent text at any time, whatever its colours.
func (s *Session) Ever(text string) {
	s.t.Helper()
	s.Wait(fmt.Sprintf("%q at any time", text), func(string) bool { return strings.Contains(colours.ReplaceAllString(s.Sent(), ""), text) })
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Exit waits for the end of the program and returns its exit code, -1 when a signal
// killed it.
func (s *Session) Exit() int {
	s.t.Helper()
	var failed *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &failed) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// Unchanged checks that the line discipline is as it was and that the terminal was
// sent no mode.
func (s *Session) Unchanged() {
	s.t.Helper()
	after, err := term.GetState(int(s.slave.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if *after != *s.before {
		s.t.Errorf("the line discipline was left changed:\n%+v, was\n%+v", after, s.before)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.vt.Refused()) > 0 {
		s.t.Errorf("the terminal was sent %v", s.vt.Refused())
	}
}

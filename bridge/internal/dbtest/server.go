// Package dbtest is for tests: real database servers on loopback ports that can be killed and started again.
package dbtest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// Server is a database server with its own folder, port and data, which survive a Kill.
type Server struct {
	tb    testing.TB
	args  []string
	owner owner
	cmd   *exec.Cmd     // nil when it was killed or never ran
	done  chan struct{} // closed when cmd has ended
	log   *tail
	ready func() error

	// Addr is host:port of the listener.
	Addr string
	// Dir holds its files.
	Dir string
}

func newServer(tb testing.TB, o owner) *Server {
	tb.Helper()
	dir, err := os.MkdirTemp("", "plumbline-db-") //nolint:usetesting // others may not enter tb's folders, and the server is another user
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, owner: o, log: &tail{}, Addr: brokertest.FreePort(tb), Dir: dir}
	s.Own(dir)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the database server says:\n%s", s.Log())
		}
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Own gives a file to the user that the server runs as.
func (s *Server) Own(path string) {
	s.tb.Helper()
	if err := s.owner.own(path); err != nil {
		s.tb.Fatal(err)
	}
}

// command makes one that runs as the server's user in its folder.
func (s *Server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // Kill ends it
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, s.log, s.log
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.Dir)
	cmd.WaitDelay = eventually.Patience // for children that hold the output
	s.owner.runs(cmd)
	return cmd
}

// Start starts the server and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	s.run()
	eventually.Must(s.tb, "the database server to answer", func() bool {
		if s.ready() == nil {
			return true
		}
		select {
		case <-s.done: // what a killed one left is not gone at once
			s.run()
		default:
		}
		return false
	})
}

func (s *Server) run() {
	s.tb.Helper()
	s.cmd, s.done = s.command(s.args...), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // its exit code is that of the signal
		close(done)
	}(s.cmd, s.done)
}

// Kill ends the server as a crash does, and waits until its children have seen it. A second call does nothing.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Fatal(err)
	}
	<-s.done
	s.cmd = nil
}

// Restart is Kill and Start with further settings, which stay.
func (s *Server) Restart(settings ...string) {
	s.tb.Helper()
	s.Kill()
	for _, text := range settings {
		s.args = append(s.args, "-c", text)
	}
	s.Start()
}

// Log returns the end of what the server wrote.
func (s *Server) Log() string { return s.log.String() }

// Size returns how many bytes the files of the server have.
func (s *Server) Size() (n int64, err error) {
	err = filepath.WalkDir(s.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// find returns the path of a program: on PATH or as one of the patterns says, the last that is there.
func find(tb testing.TB, name, pkg string, patterns ...string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 { // the pattern is well formed
			return found[len(found)-1]
		}
	}
	tb.Fatalf("%s is not installed: make deps-test installs it (Debian package %s)", name, pkg)
	return ""
}

// tail keeps the last of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > tailBytes {
		t.buf.Next(t.buf.Len() - tailBytes/2)
	}
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

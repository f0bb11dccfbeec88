// Package redistest is for tests: a real redis-server on a loopback port that can be killed and started again, with its data or
// without.
package redistest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// Server is a Redis with its own folder, port and data.
type Server struct {
	tb       testing.TB
	settings []string
	conf     string // the file of a Sentinel; "" = it is none
	password string // of a Sentinel; "" = none
	cmd      *exec.Cmd

	// Addr is host:port of the listener.
	Addr string
	// Dir holds its files.
	Dir string
	// Client is one of the library's without password.
	Client *redis.Client
}

// New starts a Redis that keeps nothing on disk, with these further settings, each a name and a value as on its command line. It
// is stopped when the test ends. The test fails, with what to do, when Redis is not installed.
func New(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, settings: settings, Addr: brokertest.FreePort(tb), Dir: tb.TempDir()}
	s.begin()
	return s
}

// begin starts it for the first time.
func (s *Server) begin() {
	s.tb.Helper()
	redis.SetLogger(quiet{})
	s.Client = redis.NewClient(&redis.Options{Addr: s.Addr, Password: s.password, MaxRetries: -1, DialerRetries: 1})
	s.tb.Cleanup(func() {
		_ = s.Client.Close()
		s.Kill()
	})
	s.Start()
}

// URL is where it is.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Start starts the server and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		s.tb.Fatal("redis-server is not installed: make deps-test installs it")
	}
	port := s.Addr[len("127.0.0.1:"):]
	args := []string{s.conf, "--sentinel", "--port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--logfile", filepath.Join(s.Dir, "redis.log")}
	if s.conf == "" {
		args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--appendonly", "no", "--logfile", filepath.Join(s.Dir, "redis.log")}, s.settings...)
	}
	s.cmd = exec.Command(binary, args...) //nolint:noctx // Kill ends it
	brokertest.DieWithTest(s.cmd)
	if os.Getenv("PLUMBLINE_TEST_LOG") != "" {
		s.cmd.Stderr = os.Stderr
	}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	eventually.Must(s.tb, "redis-server to answer on "+s.Addr, func() bool {
		err := s.Client.Ping(context.Background()).Err()
		var answer redis.Error
		return err == nil || errors.As(err, &answer) // it asks for a password
	})
}

// PID is the process's; 0 while there is none.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Signal sends the process a signal, such as SIGSTOP.
func (s *Server) Signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// Kill ends it as a crash does. A second call does nothing.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Fatal(err)
	}
	_ = s.cmd.Wait() // its exit code is that of the signal
	s.cmd = nil
}

// quiet drops the library's log.
type quiet struct{}

// Printf implements the library's logger.
func (quiet) Printf(context.Context, string, ...any) {}

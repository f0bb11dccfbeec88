//go:build unix

package sut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programDescriptor describes the stand-in program as a system with one process.
func programDescriptor(t *testing.T, mode string) *Descriptor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`apiVersion: plumbline/v1
kind: SUT
name: stand-in
start:
  - name: program
    command: [%q, "127.0.0.1:{{port:mqtt}}", "{{dir}}/addresses.json"]
    env: ["SUT_TEST_PROGRAM=%s"]
    ready: {tcp: "127.0.0.1:{{port:mqtt}}", addresses: "{{dir}}/addresses.json", timeout: 1m}
broker: {url: "mqtt://127.0.0.1:{{port:mqtt}}"}
viewer: {protocol: plumbline, url: "ws://127.0.0.1:{{port:mqtt}}/"}
capabilities: [qos1]
`, self, mode)
	d, err := Parse([]byte(text), "stand-in.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func startProgram(t *testing.T, mode string, opts Options) *SUT {
	t.Helper()
	opts.Descriptor = programDescriptor(t, mode)
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// say sends text to the program and returns its echo, or "" when there is none in time.
func say(t *testing.T, broker *url.URL, text string, limit time.Duration) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", broker.Host, limit)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	_, _ = conn.Write([]byte(text))
	buf := make([]byte, 16)
	n, _ := conn.Read(buf)
	return string(buf[:n])
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestStartStopAndLog(t *testing.T) {
	s := startProgram(t, "serve", Options{})
	pid := s.Pid()
	if pid == 0 || !alive(pid) {
		t.Fatalf("pid is %d, alive %v", pid, alive(pid))
	}
	if got := say(t, s.Broker(), "hello", time.Minute); got != "hello" {
		t.Fatalf("echo is %q", got)
	}
	if lines := s.LastLog(1); len(lines) != 1 || lines[0] != "program is ready" {
		t.Fatalf("last log line is %q", lines)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if alive(pid) || s.Pid() != 0 {
		t.Fatal("the process outlived Stop")
	}
	if s.Err() != nil {
		t.Fatalf("a wanted end was taken for a death: %v", s.Err())
	}
	select {
	case <-s.Exited():
		t.Fatal("Exited was closed by a wanted end")
	default:
	}
}

func TestKillAndRestartKeepPortsAndData(t *testing.T) {
	s := startProgram(t, "serve", Options{})
	broker, pid := s.Broker().String(), s.Pid()
	marker := filepath.Join(s.private, "addresses.json")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Fatal("the process survived SIGKILL")
	}
	if _, err := os.Stat(marker); err != nil {
		t.Fatalf("the state was not kept: %v", err)
	}
	if err := s.Kill(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("second Kill gave %v", err)
	}
	// The file of the killed process is still there; it must not pass for ready.
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Broker().String() != broker || s.Pid() == pid {
		t.Fatalf("broker %s → %s, pid %d → %d", broker, s.Broker(), pid, s.Pid())
	}
	if got := say(t, s.Broker(), "again", time.Minute); got != "again" {
		t.Fatalf("echo is %q", got)
	}
	if s.Err() != nil {
		t.Fatalf("Kill was taken for a death: %v", s.Err())
	}
}

func TestPauseFreezesAndResumeThaws(t *testing.T) {
	s := startProgram(t, "serve", Options{})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if got := say(t, s.Broker(), "cold", 300*time.Millisecond); got != "" {
		t.Fatalf("a frozen process answered %q", got)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := say(t, s.Broker(), "warm", time.Minute); got != "warm" {
		t.Fatalf("echo is %q", got)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close of a frozen process: %v", err)
	}
}

func TestStubbornProcessIsKilled(t *testing.T) {
	s := startProgram(t, "stubborn", Options{StopLimit: 100 * time.Millisecond})
	pid := s.Pid()
	err := s.Stop(t.Context())
	if l := s.Lapses(); err != nil || len(l) != 1 || l[0] != (Lapse{"program", "was told to end (SIGTERM), had not ended 100ms later and was killed"}) {
		t.Fatalf("Stop gave %v and lapses %+v", err, l)
	}
	if alive(pid) {
		t.Fatal("the process is still there")
	}
	s = startProgram(t, "stubborn", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) || len(s.Lapses()) != 0 {
		t.Fatalf("Stop that was cut short gave %v and lapses %+v", err, s.Lapses())
	}
}

func TestDeathIsNoticedWithItsLastWords(t *testing.T) {
	s := startProgram(t, "serve", Options{})
	say(t, s.Broker(), "die", time.Minute)
	select {
	case <-s.Exited():
	case <-time.After(time.Minute):
		t.Fatal("waited a minute for Exited")
	}
	err := s.Err()
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "exit status 9") || !strings.Contains(err.Error(), "program was told to die") {
		t.Fatalf("Err is %v", err)
	}
}

func TestStartFailures(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		change     func(*Descriptor)
		want       []string
	}{
		{"exits at once", "exit", nil, []string{"exit status 7", "cannot go on"}},
		{"never ready", "never-ready", func(d *Descriptor) { d.Start[0].Ready.Timeout = 5 * time.Second },
			[]string{"not ready after 5s", "addresses.json", "mode never-ready"}},
		{"never told ready", "serve", func(d *Descriptor) {
			d.Start[0].Ready = Ready{Timeout: 5 * time.Second, Command: []string{"/bin/sh", "-c", "exit 3"}}
		}, []string{"not ready after 5s", `["/bin/sh" "-c" "exit 3"] to end with 0 (exit status 3)`}},
		{"port always taken", "port-taken", nil, []string{"exit status 4", "address already in use"}},
		{"no such program", "serve", func(d *Descriptor) { d.Start[0].Command[0] = "/nonexistent/program" },
			[]string{"/nonexistent/program", "check the command"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := programDescriptor(t, c.mode)
			if c.change != nil {
				c.change(d)
			}
			s, err := New(Options{Descriptor: d, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.Start(t.Context())
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("Start gave %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			if s.Pid() != 0 {
				t.Error("a process was left behind")
			}
		})
	}
}

func TestStartRetriesWithOtherPorts(t *testing.T) {
	d := programDescriptor(t, "serve")
	d.Start[0].Ready.TCP = ""
	s, err := New(Options{Descriptor: d, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := s.Broker().Host
	thief, err := net.Listen("tcp", before)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Broker().Host == before {
		t.Fatalf("still at %s, which is taken", before)
	}
	if got := say(t, s.Broker(), "other", time.Minute); got != "other" {
		t.Fatalf("echo is %q", got)
	}
}

func TestStartObeysContext(t *testing.T) {
	s, err := New(Options{Descriptor: programDescriptor(t, "never-ready"), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for") {
		t.Fatalf("Start gave %v", err)
	}
	if s.Pid() != 0 {
		t.Fatal("a process was left behind")
	}
}

func TestCloseRemovesSecretsAndIsIdempotent(t *testing.T) {
	s := startProgram(t, "serve", Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.private); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the private folder is still there: %v", err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("Start after Close worked")
	}
}

func TestRemoteSystemHasNoControlWithoutHooks(t *testing.T) {
	d := programDescriptor(t, "serve")
	d.Start = nil
	d.Broker.URL, d.Viewer.URL = "mqtt://127.0.0.1:1", "ws://127.0.0.1:1/"
	marker := filepath.Join(t.TempDir(), "restarted")
	d.Hooks.RestartBroker = []string{"touch", marker}
	s, err := New(Options{Descriptor: d, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, action := range map[string]func() error{
		"Kill": s.Kill, "Pause": s.Pause, "Resume": s.Resume,
		"Restart": func() error { return s.Restart(t.Context()) },
	} {
		if err := action(); !errors.Is(err, ErrNoControl) {
			t.Errorf("%s gave %v", name, err)
		}
	}
	if err := s.RestartBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Fatalf("the hook did not run: %v", err)
	}
}

//go:build unix

package sut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestUsageAndSamples(t *testing.T) {
	s := startProgram(t, "serve", Options{SampleEvery: 10 * time.Millisecond})
	u, err := s.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS < 100<<10 || u.Threads < 1 || u.Files == 0 {
		t.Fatalf("usage is %+v", u)
	}
	deadline := time.Now().Add(time.Minute)
	for len(s.Usages()) < 3 {
		if time.Now().After(deadline) {
			t.Fatal("waited a minute for three samples")
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usage(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("usage of nothing gave %v", err)
	}
}

func TestDescriptorCopyHoldsNoSecret(t *testing.T) {
	text := strings.Replace(wholeDescriptor, "MODE=test", `"DB_PASSWORD=hunter2"`, 1)
	d, err := Parse([]byte(text), "other.yaml", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := New(Options{Descriptor: d, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	copied, err := os.ReadFile(filepath.Join(dir, "descriptor.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(copied), "hunter2") || !strings.Contains(string(copied), "DB_PASSWORD=") {
		t.Fatalf("the copy in the artifacts says:\n%s", copied)
	}
	if env := s.descriptor().Start[1].Env; len(env) != 1 || env[0] != "DB_PASSWORD=hunter2" {
		t.Fatalf("the process gets %q", env)
	}
}

// shellDescriptor describes a system whose one process is a shell script.
func shellDescriptor(t *testing.T, script, more string) *Descriptor {
	t.Helper()
	text := fmt.Sprintf("apiVersion: plumbline/v1\nkind: SUT\nname: shell\nstart:\n  - {name: program, command: [/bin/sh, -c, %q]}\n"+
		"broker: {url: \"mqtt://127.0.0.1:1\"}\nviewer: {protocol: plumbline, url: \"ws://127.0.0.1:1/\"}\n%s", script, more)
	d, err := Parse([]byte(text), "shell.yaml", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// runs reports whether a process runs; one that nobody has waited for does not.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// pidIn returns the number that a script has written to a file.
func pidIn(t *testing.T, path string) string {
	t.Helper()
	var pid string
	waitFor(t, "a process id in "+path, func() bool {
		data, err := os.ReadFile(path)
		pid = strings.TrimSpace(string(data))
		return err == nil && pid != ""
	})
	return pid
}

func TestNothingOutlivesAProcessThatDied(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	file := filepath.Join(t.TempDir(), "pid")
	s, err := New(Options{Dir: t.TempDir(), Descriptor: shellDescriptor(t, fmt.Sprintf("sleep 300 & echo $! > %s; read x < %s.go; exit 3", file, file), "")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := syscall.Mkfifo(file+".go", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, file)
	if err := os.WriteFile(file+".go", []byte("now\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Exited():
	case <-time.After(time.Minute):
		t.Fatal("waited a minute for the death to be noticed")
	}
	waitFor(t, "the child of the dead process to end", func() bool { return !runs(pid) })
}

func TestHooks(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	t.Setenv("PLUMBLINE_BRIDGE_LOG_LEVEL", "debug")
	file := filepath.Join(t.TempDir(), "pid")
	script := fmt.Sprintf(`sleep 300 & echo $! > %s; echo "level is [$PLUMBLINE_BRIDGE_LOG_LEVEL]"`, file)
	hook := func(script string) *SUT {
		t.Helper()
		s, err := New(Options{Dir: t.TempDir(), Descriptor: shellDescriptor(t, "exec sleep 300", fmt.Sprintf("hooks: {restartBridge: [/bin/sh, -c, %q]}", script))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	t.Run("may leave a daemon behind", func(t *testing.T) {
		s := hook(script)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid := pidIn(t, file)
		defer func() {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}()
		if !runs(pid) {
			t.Fatal("what the hook started was killed")
		}
	})
	t.Run("gets no setting of bridged and says what it printed", func(t *testing.T) {
		err := hook(`echo "level is [$PLUMBLINE_BRIDGE_LOG_LEVEL]"; exit 5`).Restart(t.Context())
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "level is []") {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("is ended with all it started", func(t *testing.T) {
		_ = os.Remove(file)
		s := hook(script + "; wait")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Restart(ctx) }()
		pid := pidIn(t, file)
		cancel()
		if err := <-ended; err == nil {
			t.Fatal("a hook that was cut short counts as done")
		}
		waitFor(t, "what the hook started to end", func() bool { return !runs(pid) })
	})
}

func TestPortOfSomebodyElseIsNotReadiness(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d := shellDescriptor(t, "exec sleep 300", "")
	d.Start[0].Ready.TCP = listener.Addr().String()
	s, err := New(Options{Dir: t.TempDir(), Descriptor: d})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Start(t.Context())
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), listener.Addr().String()) || !strings.Contains(err.Error(), "already") {
		t.Fatalf("Start with a stranger on the port gave %v", err)
	}
}

func TestInfoFindsProgramsBesideTheDescriptor(t *testing.T) {
	d := shellDescriptor(t, "exit", "")
	if err := os.WriteFile(filepath.Join(d.dir, "bridge"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.Start[0].Command = []string{"./bridge"}
	d.Start = append(d.Start, Process{Name: "gone", Command: []string{"no-such-program-here"}})
	s, err := New(Options{Dir: t.TempDir(), Descriptor: d})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	artifacts := s.Info().Artifacts
	if artifacts[0].Path != "bridge" || artifacts[0].SHA256 == "" {
		t.Errorf("the program beside the descriptor is %+v", artifacts[0])
	}
	if artifacts[1].Path != "no-such-program-here" || artifacts[1].SHA256 != "" {
		t.Errorf("the program that cannot be found is %+v", artifacts[1])
	}
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	s := startProgram(t, "stubborn", Options{StopLimit: 300 * time.Millisecond})
	first := make(chan error, 1)
	go func() { first <- s.Close() }()
	waitFor(t, "the first Close to begin", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed })
	_ = s.Close()
	if _, err := os.Stat(s.private); !errors.Is(err, os.ErrNotExist) {
		t.Error("Close returned while another was still at work: the keys are there")
	}
	if err := <-first; err != nil || len(s.Lapses()) != 1 {
		t.Errorf("%v; that the process had to be killed was told as %+v", err, s.Lapses())
	}
}

// TestKillWaitsForChildren: when Kill returns nothing of the process is left, so
// that it can be started again on the same port.
func TestKillWaitsForChildren(t *testing.T) {
	d := programDescriptor(t, "family")
	d.Start[0].Ready.Addresses = "" // written by the child
	s, err := New(Options{Dir: t.TempDir(), Descriptor: d})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if taken(t.Context(), s.Broker().Host) {
			t.Fatal("the port of a child is still taken after Kill")
		}
	}
	if l := s.Lapses(); len(l) != 0 {
		t.Errorf("who was killed has lapses %+v", l)
	}
}

// TestCrashAtTheEndIsALapse: a program that ends when it is told to, but not in
// good order, leaves a word about it.
func TestCrashAtTheEndIsALapse(t *testing.T) {
	for mode, want := range map[string]string{"serve": "", "crash-at-end": "was told to end (SIGTERM) and ended with exit status 2"} {
		s := startProgram(t, mode, Options{})
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		switch l := s.Lapses(); {
		case want == "" && len(l) == 0:
		case want == "" || len(l) != 1 || l[0] != (Lapse{"program", want}):
			t.Errorf("%s: lapses %+v, want %q", mode, l, want)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"plumbline/bridge/internal/eventually"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("viewers:\n  hartbeat: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--set", "data=" + filepath.Join(dir, "d"), "--set", "viewers.listen=127.0.0.1:0", "--set", "ops.listen=127.0.0.1:0"}
	for _, tc := range []struct {
		name string
		args []string
		env  []string
		code int
		out  []string
	}{
		{"version", []string{"--version"}, nil, exitOK, []string{"bridged "}},
		{"help", []string{"--help"}, nil, exitOK, []string{"-config", "-set"}},
		{"check", []string{"check-config"}, nil, exitOK, []string{"good"}},
		{"check a bad file", []string{"check-config", "--config", bad}, nil, exitUsage, []string{"bad.yaml:2", "heartbeat"}},
		{"unknown flag", []string{"--prot", "1"}, nil, exitUsage, []string{"prot"}},
		{"stray argument", []string{"serve"}, nil, exitUsage, []string{`"serve"`}},
		{"missing file", []string{"--config", filepath.Join(dir, "none")}, nil, exitUsage, []string{"none"}},
		{"bad variable", []string{"check-config"}, []string{"PLUMBLINE_BRIDGE_LOG_LEVEL=loud"}, exitUsage, []string{"log.level"}},
		{"port in use", append(free, "--set", "mqtt.listen="+busy.Addr().String()), nil, exitUnavailable, []string{"mqtt.listen", busy.Addr().String(), "in use"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(tc.args, tc.env, &out, &out); code != tc.code {
				t.Errorf("exit %d, want %d: %s", code, tc.code, &out)
			}
			for _, part := range tc.out {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%q lacks %q", &out, part)
				}
			}
		})
	}
}

// TestMain lets the test binary be bridged itself, so that the real process is under test.
func TestMain(m *testing.M) {
	if os.Getenv("BRIDGED_AS_TEST") != "" {
		os.Exit(run(os.Args[1:], nil, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestProcess starts the daemon, kills it without mercy, starts it again on the same folder and ends it by signal.
func TestProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SIGTERM cannot be sent on Windows")
	}
	data := filepath.Join(t.TempDir(), "data")
	begin := func() (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "--set", "data="+data, "--set", "mqtt.listen=127.0.0.1:0", "--set", "viewers.listen=127.0.0.1:0", "--set", "ops.listen=127.0.0.1:0")
		cmd.Env = append(os.Environ(), "BRIDGED_AS_TEST=1")
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var a struct {
			MQTT string `json:"mqtt"`
			PID  int    `json:"pid"`
		}
		eventually.Must(t, "the process's address file", func() bool {
			raw, err := os.ReadFile(filepath.Join(data, "addresses.json"))
			return err == nil && json.Unmarshal(raw, &a) == nil && a.PID == cmd.Process.Pid
		})
		c, err := net.Dial("tcp", a.MQTT)
		if err != nil {
			t.Fatalf("the address file is there, nobody listens: %v", err)
		}
		_ = c.Close()
		return cmd, &log
	}
	cmd, _ := begin()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	cmd, log := begin()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, log)
	}
	for _, part := range []string{`"msg":"ready"`, `"msg":"draining"`, `"msg":"stopped"`} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s:\n%s", part, log)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "addresses.json")); !os.IsNotExist(err) {
		t.Errorf("address file after the end: %v", err)
	}
}

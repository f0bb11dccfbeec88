package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{"version as a command", []string{"version"}, nil, exitOK, []string{"bridged "}},
		{"list of commands", []string{"help"}, nil, exitOK, []string{"check-config", "token", "user", "schema", "health", "version"}},
		{"help of a command", []string{"token", "--help"}, nil, exitOK, []string{"-sub", "-grants", "-ttl"}},
		{"schema", []string{"schema"}, nil, exitOK, []string{"json-schema.org", `"drain"`}},
		{"takeover", []string{"--takeover", "-1s"}, nil, exitUsage, []string{"takeover", "30s"}},
		{"health of nobody", []string{"health", "--set", "ops.listen=127.0.0.1:1"}, nil, exitUnavailable, []string{"refused"}},
		{"health without listener", []string{"health", "--set", "ops.listen="}, nil, exitUsage, []string{"ops.listen"}},
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
			if code := run(call{args: tc.args, environ: tc.env, stdin: strings.NewReader(""), stdout: &out, stderr: &out}); code != tc.code {
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
		os.Exit(run(call{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
	}
	os.Exit(m.Run())
}

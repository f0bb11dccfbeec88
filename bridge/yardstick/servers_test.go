//go:build linux

package yardstick

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/internal/brokertest"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// server is a system under test: one process.
type server struct {
	name   string
	pid    int
	kill   func() // by SIGKILL; returns when the process has ended
	mqtt   string
	viewer target
}

// cpu is the processor time that the process has used.
func (s server) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	must(tb, err)
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err := strconv.Atoi(f[11]) // fields 14 and 15 of proc(5), in clock ticks of 10 ms
	must(tb, err)
	system, err := strconv.Atoi(f[12])
	must(tb, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// rss is the resident memory of the process in bytes.
func (s server) rss(tb testing.TB) int64 {
	tb.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	must(tb, err)
	pages, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	must(tb, err)
	return pages * int64(os.Getpagesize())
}

// run starts a program that ends with the test, if it is not killed before. Its output may be read when it has ended.
func run(tb testing.TB, program string, args ...string) (kill func(), pid int, output *bytes.Buffer) {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path = "/usr/sbin/" + program; !filepath.IsAbs(program) {
			if _, err := os.Stat(path); err != nil {
				tb.Fatalf("%s is not installed: run 'make deps-test', or install the Debian package %s", program, program)
			}
		}
	}
	cmd := exec.Command(path, args...)
	output = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	must(tb, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tb.Cleanup(kill)
	return kill, cmd.Process.Pid, output
}

// await polls until ready holds.
func await(tb testing.TB, what string, ready func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			tb.Fatalf("waited 20 s for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func answers(address string) func() bool {
	return func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	}
}

var buildBridged = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // built once for all benchmarks
	dir, err := os.MkdirTemp("", "yardstick")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bridged")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "plumbline/bridge/cmd/bridged")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// startBridged starts the bridge with its defaults, more room for connections, and the settings given.
func startBridged(tb testing.TB, sets ...string) server {
	tb.Helper()
	return startBridgedIn(tb, tb.TempDir(), sets...)
}

// startBridgedIn starts it on the data folder below dir, which may hold what an earlier one left.
func startBridgedIn(tb testing.TB, dir string, sets ...string) server {
	tb.Helper()
	s := beginBridged(tb, dir, sets...)
	var at struct {
		MQTT, Viewers string
		PID           int
	}
	await(tb, "bridged", func() bool {
		raw, err := os.ReadFile(filepath.Join(dir, "data", "addresses.json"))
		return err == nil && json.Unmarshal(raw, &at) == nil && at.PID == s.pid // not of the one before
	})
	secret, err := os.ReadFile(filepath.Join(dir, "data", "jwt.key"))
	must(tb, err)
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "plumbline", "aud": "bridge", "sub": "yardstick",
		"exp": now.Add(time.Hour).Unix(), "grants": []string{"#"}}).SignedString(bytes.TrimSpace(secret))
	must(tb, err)
	s.mqtt = at.MQTT
	s.viewer = target{Kind: "plumbline", Address: at.Viewers, Path: "/ws", Token: token, Filter: "yard/#"}
	return s
}

// beginBridged starts the process and does not wait for it to serve.
func beginBridged(tb testing.TB, dir string, sets ...string) server {
	tb.Helper()
	program, err := buildBridged()
	must(tb, err)
	file := filepath.Join(dir, "bridge.yaml")
	must(tb, os.WriteFile(file, []byte("apiVersion: plumbline/v1\nkind: Bridge\ndata: data\n"), 0o600))
	args := []string{"--config", file}
	for _, set := range append([]string{"mqtt.listen=127.0.0.1:0", "viewers.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0", "viewers.plaintext=true",
		"viewers.maxConnections=20000", "log.level=error"}, sets...) {
		args = append(args, "--set", set)
	}
	s := server{name: "bridged"}
	s.kill, s.pid, _ = run(tb, program, args...)
	return s
}

// startMosquitto starts Mosquitto with a WebSocket listener and room for slow subscribers.
func startMosquitto(tb testing.TB) server {
	tb.Helper()
	s := server{name: "mosquitto", mqtt: brokertest.FreePort(tb)}
	s.viewer = target{Kind: "mqtt", Address: brokertest.FreePort(tb), Path: "/", Filter: "yard/#"}
	_, in, _ := net.SplitHostPort(s.mqtt)
	_, out, _ := net.SplitHostPort(s.viewer.Address)
	file := filepath.Join(tb.TempDir(), "mosquitto.conf")
	must(tb, os.WriteFile(file, fmt.Appendf(nil, "per_listener_settings false\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n"+
		"listener %s 127.0.0.1\nlistener %s 127.0.0.1\nprotocol websockets\n", in, out), 0o600))
	s.kill, s.pid, _ = run(tb, "mosquitto", "-c", file)
	await(tb, "mosquitto", answers(s.viewer.Address))
	return s
}

// startNATS starts nats-server with MQTT and WebSocket listeners.
func startNATS(tb testing.TB) server {
	tb.Helper()
	s := server{name: "nats-server", mqtt: brokertest.FreePort(tb)}
	s.viewer = target{Kind: "mqtt", Address: brokertest.FreePort(tb), Path: "/mqtt", Filter: "yard/#"}
	dir := tb.TempDir()
	file := filepath.Join(dir, "nats.conf")
	must(tb, os.WriteFile(file, fmt.Appendf(nil, "listen: %q\nserver_name: yardstick\njetstream {store_dir: %q}\nmqtt {listen: %q}\n"+
		"websocket {listen: %q, no_tls: true, compression: false}\n", brokertest.FreePort(tb), dir, s.mqtt, s.viewer.Address), 0o600))
	s.kill, s.pid, _ = run(tb, "nats-server", "-c", file)
	await(tb, "nats-server", answers(s.viewer.Address))
	await(tb, "nats-server's MQTT listener", answers(s.mqtt))
	return s
}

package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
)

// program returns the path of a program that the test needs, or says how to get it.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: make deps-test installs it", name)
	}
	return path
}

// startAll runs a broker with every kind of listener, and returns the file of its authority.
func startAll(t *testing.T) (*Broker, string) {
	t.Helper()
	dir := t.TempDir()
	cert, err := devca.Ensure(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bind := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	secureWS := secure.Clone()
	secureWS.NextProtos = []string{"http/1.1"}
	ws := &WebSocket{Path: "/mqtt"}
	b, _ := start(t, func(o *Options) {
		o.Listeners = append(o.Listeners, Listener{Name: "mqtts", Socket: bind(), TLS: secure},
			Listener{Name: "ws", Socket: bind(), WebSocket: ws}, Listener{Name: "wss", Socket: bind(), TLS: secureWS, WebSocket: ws})
	})
	return b, filepath.Join(dir, devca.CAFile)
}

// TestMosquittoClients: Debian's mosquitto_pub and mosquitto_sub over TCP and TLS, with 3.1.1 and 5.
func TestMosquittoClients(t *testing.T) {
	pub, sub := program(t, "mosquitto_pub"), program(t, "mosquitto_sub")
	b, ca := startAll(t)
	for _, name := range []string{"mqtt", "mqtts"} {
		for _, version := range []string{"311", "5"} {
			t.Run(name+" "+version, func(t *testing.T) {
				_, port, _ := net.SplitHostPort(b.Addr(name).String())
				base := []string{"-h", "127.0.0.1", "-p", port, "-V", version}
				if name == "mqtts" {
					base = append(base, "--cafile", ca)
				}
				root := "m/" + name + "/" + version
				run(t, pub, append(base, "-t", root+"/kept", "-m", "retained", "-r", "-q", "1")...)
				before := subscriptions(b)
				out := inBackground(t, sub, append(base, "-t", root+"/#", "-q", "2", "-C", "5", "-W", "60", "-F", "%q %r %p")...)
				eventually.Must(t, "mosquitto_sub's subscription", func() bool { return subscriptions(b) > before })
				for _, qos := range []string{"0", "1", "2"} {
					run(t, pub, append(base, "-t", root+"/live", "-m", "message "+qos, "-q", qos)...)
				}
				dying := exec.Command(sub, append(base, "-t", root+"/none", "--will-topic", root+"/will", "--will-payload", "gone", "--will-qos", "1")...)
				if err := dying.Start(); err != nil {
					t.Fatal(err)
				}
				eventually.Must(t, "the client that will die", func() bool { return subscriptions(b) > before+1 })
				_ = dying.Process.Kill()
				_ = dying.Wait()
				const second, rest = "2 0 message 2\n", "1 1 retained\n0 0 message 0\n1 0 message 1\n1 0 gone\n" // the client shows QoS 2 on release, so the will may pass it
				if got := out(); !strings.Contains(got, second) || strings.Replace(got, second, "", 1) != rest {
					t.Errorf("mosquitto_sub got\n%s\nwant\n%s and, anywhere in it, %s", got, rest, second)
				}
			})
		}
	}
}

// subscriptions counts those of connected sessions.
func subscriptions(b *Broker) (n int) {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	for _, s := range b.sessions.byID {
		s.mu.Lock()
		if s.client != nil {
			n += len(s.subs)
		}
		s.mu.Unlock()
	}
	return n
}

// TestMQTTJS: mqtt.js over every listener, with 3.1.1 and 5.
func TestMQTTJS(t *testing.T) {
	node := program(t, "node")
	dir := mqttJS(t)
	b, ca := startAll(t)
	for _, name := range []string{"mqtt", "mqtts", "ws", "wss"} {
		for _, version := range []string{"4", "5"} {
			t.Run(name+" "+version, func(t *testing.T) {
				_, port, _ := net.SplitHostPort(b.Addr(name).String())
				url, authority := fmt.Sprintf("%s://127.0.0.1:%s", name, port), "-"
				if strings.HasPrefix(name, "ws") {
					url += "/mqtt"
				}
				if name == "mqtts" || name == "wss" {
					authority = ca
				}
				if got := run(t, node, filepath.Join(dir, "interop.js"), url, version, authority); strings.TrimSpace(got) != "ok" {
					t.Errorf("mqtt.js says %q", got)
				}
			})
		}
	}
}

// mqttJS returns a folder with the pinned mqtt.js, installed once per lock file.
func mqttJS(t *testing.T) string {
	t.Helper()
	npm := program(t, "npm")
	lock, err := os.ReadFile("testdata/mqttjs/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "plumbline", "mqttjs-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copyJS(t, dir)
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err != nil {
		run(t, npm, "ci", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund")
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyJS(t *testing.T, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, ".new"), os.DirFS("testdata/mqttjs")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", "interop.js"} {
		if err := os.Rename(filepath.Join(dir, ".new", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, ".new")); err != nil {
		t.Fatal(err)
	}
}

// run runs a program and returns what it prints; it has two minutes.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// inBackground starts a program; the function returned waits for its end and gives what it printed.
func inBackground(t *testing.T, name string, args ...string) func() string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(name), err, errs.String())
		}
		return out.String()
	}
}

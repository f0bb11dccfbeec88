// Package targets starts real servers for the tests of the conformance suites:
// the bridge of this repository, Mosquitto, and mochi as its own example starts
// it, and hostile ones. It must not be imported outside tests.
package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices/devicetest"
	"plumbline/harness/conform/ws"
	"plumbline/harness/sut"
)

// patience bounds what a real process may take on a busy machine.
const patience = 60 * time.Second

// buildDir holds the daemon; Clean removes it.
var buildDir string

// Daemon builds bridged, once for a test binary whose TestMain calls Clean, and
// returns its path. It is built as make build does, so that the compiled packages
// are shared.
var Daemon = sync.OnceValues(func() (path string, err error) {
	if buildDir, err = os.MkdirTemp("", "plumbline-bridged-"); err != nil {
		return "", err
	}
	path = filepath.Join(buildDir, "bridged")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", path, "plumbline/bridge/cmd/bridged")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Main runs the tests and removes what they built.
func Main(m *testing.M) {
	defer Clean()
	m.Run()
}

// Clean removes what Daemon built.
func Clean() {
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
}

// Bridged starts the real daemon with these settings over its usual ones.
func Bridged(t *testing.T, config map[string]any) *sut.SUT {
	t.Helper()
	binary, err := Daemon()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sut.New(sut.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "sut"), Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(strings.Join(s.LastLog(20), "\n"))
		}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("bridged was not ready within %s", patience))
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// Viewer returns how bridged is judged as a WebSocket server: each session has
// a subject of its own, so that the sins of one are not held against others.
func Viewer(s *sut.SUT) (ws.Target, ws.Options) {
	var mu sync.Mutex
	n := 0
	o := ws.Plumbline(func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return s.Token(sut.TokenSpec{Subject: fmt.Sprintf("conform-%d", n), Grants: []string{"conform/#"}})
	})
	return ws.Target{URL: s.ViewerURL(), TLS: s.TLS()}, o
}

// Mosquitto starts the real broker with a listener for MQTT, for which the
// settings are, and one for MQTT over WebSocket, and returns their URLs.
func Mosquitto(t *testing.T, settings ...string) (mqtt, websocket string) {
	t.Helper()
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		if binary = "/usr/sbin/mosquitto"; !runnable(binary) {
			t.Fatal("mosquitto is not installed; make deps-test installs it")
		}
	}
	plain, web := devicetest.FreePort(t), devicetest.FreePort(t)
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	config := fmt.Sprintf("allow_anonymous true\nlistener %d 127.0.0.1\n%s\nlistener %d 127.0.0.1\nprotocol websockets\n",
		plain, strings.Join(settings, "\n"), web)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-c", file)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
	})
	WaitOpen(t, plain)
	WaitOpen(t, web)
	return fmt.Sprintf("mqtt://127.0.0.1:%d", plain), fmt.Sprintf("ws://127.0.0.1:%d/", web)
}

func runnable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// allowAll is the hook of the broker's example; its own one links a parser for
// YAML that nothing else here needs.
type allowAll struct{ mochi.HookBase }

// ID names the hook.
func (*allowAll) ID() string { return "allow-all" }

// Provides says what the hook decides.
func (*allowAll) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

// OnConnectAuthenticate lets everybody in.
func (*allowAll) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnACLCheck allows everything.
func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// Mochi starts the library broker as its own example does: default options,
// everybody allowed, the stock listeners for TCP and WebSocket.
func Mochi(t *testing.T) (mqtt, websocket string) {
	t.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := server.AddHook(new(allowAll), nil); err != nil {
		t.Fatal(err)
	}
	plain := listeners.NewTCP(listeners.Config{ID: "t1", Address: "127.0.0.1:0"})
	port := devicetest.FreePort(t)
	web := listeners.NewWebsocket(listeners.Config{ID: "ws1", Address: fmt.Sprintf("127.0.0.1:%d", port)})
	for _, l := range []listeners.Listener{plain, web} {
		if err := server.AddListener(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { devicetest.CloseSoon(t, "mochi", server.Close) })
	WaitOpen(t, port)
	return "mqtt://" + plain.Address(), fmt.Sprintf("ws://127.0.0.1:%d/", port)
}

// WaitOpen waits until the port of this host takes connections.
func WaitOpen(t *testing.T, port int) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s took no connection within %s", address, patience)
		}
		<-tick.C
	}
}

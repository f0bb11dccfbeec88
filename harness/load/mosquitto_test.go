package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/harness/record"
)

// startMosquitto starts a real Mosquitto on a free port.
func startMosquitto(tb testing.TB) *url.URL {
	tb.Helper()
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		tb.Fatal("mosquitto is not installed; run: make deps-test")
	}
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: devicetest.FreePort(tb)}
	file := filepath.Join(tb.TempDir(), "mosquitto.conf")
	config := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 20\nmax_packet_size 4096\n", address.Port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-c", file)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cancel()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			tb.Error(err)
		}
	})
	until(tb, "mosquitto listens on "+address.String(), func() bool {
		conn, err := net.Dial("tcp", address.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return &url.URL{Scheme: "mqtt", Host: address.String()}
}

// TestMosquitto: the same publishers against another broker; its Receive
// Maximum of 20 bounds the window.
func TestMosquitto(t *testing.T) {
	broker := startMosquitto(t)
	rec := newRecorder(t)
	g, err := NewGenerator(Config{
		Recorder: rec, Broker: broker, Run: testRun, Sequence: true, Sources: rampSources(20, 50*time.Millisecond, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx := testContext(t)
	if err := g.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if window := g.publishers[0].window; window != 20 {
		t.Errorf("window %d, the broker said 20", window)
	}
	if h, err := g.Hand(ctx, HandConfig{Name: "hand"}); err != nil || h.MaxPacket() != 4096 {
		t.Errorf("a hand that may send %d bytes, the broker said 4096 (%v)", h.MaxPacket(), err)
	}
	if err := g.Run(ctx, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitAcked(ctx); err != nil {
		t.Fatal(err)
	}
	if h := g.Health(); h.Sent < 150 || h.Acked != h.Sent || h.Refused != 0 {
		t.Errorf("%+v", h)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(kinds(logOf(t, rec), record.Acked)); int64(n) != g.Health().Acked {
		t.Errorf("%d acknowledgements recorded, %d counted", n, g.Health().Acked)
	}
}

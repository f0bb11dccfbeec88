package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
)

// small mounts a file system of a few MiB and returns its folder.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes path until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	_ = f.Close()
}

// publisher connects by MQTT 5 and returns what publishes one message of 1 KiB with QoS 1 and tells its reason code.
func (p *child) publisher() func() (reason byte) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addrs.MQTT)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: eventually.Patience})
	ctx, cancel := context.WithTimeout(p.t.Context(), eventually.Patience)
	p.t.Cleanup(cancel)
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: "press", CleanStart: true, KeepAlive: 30}); err != nil {
		p.t.Fatal(err)
	}
	return func() byte {
		resp, err := c.Publish(ctx, &paho.Publish{Topic: "plant/1", QoS: 1, Payload: []byte(strings.Repeat("x", 1024))})
		if resp == nil {
			p.t.Fatalf("no answer: %v", err)
		}
		return resp.ReasonCode
	}
}

// TestN101DiskFull: while the disk is full publishers are refused with the reason and /readyz says so; the bridge stops, and starts
// again, and shows what it has; once there is room it goes on without a restart.
func TestN101DiskFull(t *testing.T) {
	dir := small(t)
	data, ballast := filepath.Join(dir, "data"), filepath.Join(dir, "ballast")
	sets := []string{"history.store=off", "journal.segmentBytes=1MiB", "journal.retainBytes=1GiB"}
	p := begin(t, data, bridge.Addresses{}, sets...)
	publish := p.publisher()
	if reason := publish(); reason != 0 {
		t.Fatalf("reason code %#x on a disk with room", reason)
	}
	fill(t, ballast)
	acked := 1
	eventually.Must(t, "the refusal of a message", func() bool {
		reason := publish()
		if reason == 0 {
			acked++
		} else if reason != 0x97 {
			t.Errorf("reason code %#x", reason)
		}
		return reason != 0
	})
	health := func() (int, string) {
		code, out, _ := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops)
		return code, out
	}
	if code, out := health(); code != exitRefused || !strings.Contains(out, "no space left") {
		t.Errorf("health on a full disk: exit %d, %s", code, out)
	}
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err == nil || p.cmd.ProcessState.ExitCode() != exitUnavailable {
		t.Errorf("stopped on a full disk: %v, want exit code %d\n%s", err, exitUnavailable, p.log)
	}
	addrs := p.addrs
	p = launch(t, data, addrs, nil, nil, nil, sets...)
	p.addrs = addrs
	eventually.Must(t, "the bridge to serve on a full disk", func() bool { return strings.Contains(p.log.String(), `"msg":"ready"`) })
	if text := metrics(t, p); !strings.Contains(text, fmt.Sprintf("\nbridge_log_head %d\n", acked)) {
		t.Errorf("%d messages were acknowledged; the metrics are\n%s", acked, text)
	}
	publish = p.publisher()
	eventually.Must(t, "a refusal after the start", func() bool {
		if publish() != 0 {
			return true
		}
		acked++
		return false
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the journal to go on by itself", func() bool { code, _ := health(); return code == exitOK })
	if reason := publish(); reason != 0 {
		t.Errorf("reason code %#x once there is room", reason)
	}
}

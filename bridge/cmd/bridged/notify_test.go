package main

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
)

// manager is the service manager's end: a unixgram socket.
type manager struct {
	*net.UnixConn
	t *testing.T
}

func listenNotify(t *testing.T, name string) manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skipf("this system has no unixgram sockets: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return manager{c, t}
}

// next returns the next datagram.
func (m manager) next() string {
	m.t.Helper()
	_ = m.SetReadDeadline(time.Now().Add(eventually.Patience))
	buf := make([]byte, 4096)
	n, err := m.Read(buf)
	if err != nil {
		m.t.Fatalf("no datagram: %v", err)
	}
	return string(buf[:n])
}

// TestNotifyProcess: a real bridged tells systemd that it is ready, alive and about to end, in this order.
func TestNotifyProcess(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "n")}
	if runtime.GOOS == "linux" {
		names = append(names, "@plumbline-notify-"+filepath.Base(t.TempDir())+t.Name())
	}
	for _, name := range names {
		m := listenNotify(t, name)
		p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, []string{"NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=60000"}, nil, nil)
		told := func(want string) {
			t.Helper()
			for {
				got := m.next()
				if strings.HasPrefix(got, want+"\n") || got == want {
					return
				}
				if got != "WATCHDOG=1" {
					t.Fatalf("told %q, want %q", got, want)
				}
			}
		}
		told("READY=1")
		p.awaitReady()
		told("WATCHDOG=1")
		told("WATCHDOG=1")
		p.signal(syscall.SIGTERM)
		told("STOPPING=1")
		if err := p.awaitEnd(); err != nil {
			t.Errorf("end: %v\n%s", err, p.log)
		}
	}
}

// hanging is a bridge of which a part hangs after some questions.
type hanging struct {
	asked atomic.Int32
	hang  chan struct{}
}

func (h *hanging) Alive() {
	if h.asked.Add(1) > 3 {
		<-h.hang
	}
}

// TestWatchdogStopsWithTheBridge: no sign of life for a bridge that gives none.
func TestWatchdogStopsWithTheBridge(t *testing.T) {
	m := listenNotify(t, filepath.Join(t.TempDir(), "n"))
	h := &hanging{hang: make(chan struct{})}
	stop := notifier{addr: m.LocalAddr().String(), every: time.Millisecond}.watch(h)
	for range 3 {
		if got := m.next(); got != "WATCHDOG=1" {
			t.Fatalf("told %q", got)
		}
	}
	eventually.Must(t, "the question that hangs", func() bool { return h.asked.Load() == 4 })
	_ = m.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := m.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes told by a bridge that hangs", n)
	}
	close(h.hang)
	stop()
}

func TestNotifierSettings(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		every   time.Duration
	}{
		{nil, 0},
		{[]string{"NOTIFY_SOCKET=/x"}, 0},
		{[]string{"WATCHDOG_USEC=3000000"}, 0}, // nobody to tell
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=3000000"}, time.Second},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=3000000", "WATCHDOG_PID=7"}, time.Second},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=3000000", "WATCHDOG_PID=8"}, 0},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=soon"}, 0},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=-1"}, 0},
	} {
		if n := newNotifier(tc.environ, 7); n.every != tc.every {
			t.Errorf("%v: every %s, want %s", tc.environ, n.every, tc.every)
		}
	}
	if err := (notifier{}).tell("READY=1"); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
	if err := (notifier{addr: filepath.Join(os.TempDir(), "nobody", "here")}).tell("READY=1"); err == nil {
		t.Error("a socket that is not there: no error")
	}
}

//go:build unix

package fault_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/devices/ptytwin"
	"plumbline/harness/fault"
)

func TestKillAndRestart(t *testing.T) {
	s := process(t)
	address, pid := s.Broker().Host, s.Pid()
	f := fault.Kill("SIGKILL", s)
	must(t, f.Inject(limit(t)))
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = conn.Close()
		t.Fatal("the killed process accepts connections")
	}
	must(t, f.Revert(limit(t)))
	hears(t, dial(t, address), "after")
	if s.Pid() == pid {
		t.Fatal("it is the same process")
	}
}

func TestFreeze(t *testing.T) {
	s := process(t)
	conn := dial(t, s.Broker().Host)
	hears(t, conn, "before")
	f := fault.Freeze("SIGSTOP", s)
	must(t, f.Inject(limit(t)))
	must(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if got, err := ask(conn, "frozen"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a frozen process said %q, %v", got, err)
	}
	must(t, f.Revert(limit(t)))
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, len("frozen\n"))
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "frozen\n" {
		t.Fatalf("thawed it said %q, %v", buf[:n], err)
	}
}

func TestStopAndStart(t *testing.T) {
	s := process(t)
	must(t, fault.Apply(limit(t), nil, fault.Stop("SIGTERM", s), 0))
	hears(t, dial(t, s.Broker().Host), "after")
}

// twin starts a pty twin and returns a reader of its lines, nil without ptys.
func twin(t *testing.T) *ptytwin.Twin {
	t.Helper()
	tw, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { _ = tw.Close() })
	return tw
}

func TestUnplugAndReplug(t *testing.T) {
	tw := twin(t)
	port := tw.Path()
	if _, err := os.Stat(port); err != nil {
		t.Fatal(err)
	}
	f := fault.Unplug("USB pulled", tw)
	must(t, f.Inject(t.Context()))
	if _, err := os.Stat(port); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the port is still there: %v", err)
	}
	must(t, f.Revert(t.Context()))
	if _, err := os.Stat(port); err != nil {
		t.Fatal(err)
	}
	if s := tw.Stats(); s.Unplugs != 1 || s.Replugs != 1 {
		t.Fatalf("stats are %+v", s)
	}
}

func TestNoiseDamagesLines(t *testing.T) {
	tw := twin(t)
	port, err := os.OpenFile(tw.Path(), os.O_RDWR, 0)
	must(t, err)
	defer port.Close()
	lines := bufio.NewReader(port)
	send := func() string {
		line := strings.Repeat("measured ", 5)
		_, err := tw.Write([]byte(line + "\n"))
		must(t, err)
		got, err := lines.ReadString('\n')
		must(t, err)
		return strings.TrimRight(got, "\r\n")
	}
	clean := send()
	f := fault.Noise("EMI", tw, 1, 7)
	must(t, f.Inject(t.Context()))
	if got := send(); got == clean {
		t.Fatalf("noise left %q as it was", got)
	}
	must(t, f.Revert(t.Context()))
	if got := send(); got != clean {
		t.Fatalf("after the noise came %q, want %q", got, clean)
	}
	for _, rate := range []float64{0, -1, 1.5} {
		if err := fault.Noise("EMI", tw, rate, 7).Inject(t.Context()); err == nil {
			t.Errorf("rate %v was accepted", rate)
		}
	}
}

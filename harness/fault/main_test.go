package fault_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/sut"
)

const patience = time.Minute

// TestMain lets the test binary stand in for a process to break: with the
// variable set it echoes lines on the address that is its first argument.
func TestMain(m *testing.M) {
	if os.Getenv("FAULT_TEST_ECHO") != "" {
		listener, err := net.Listen("tcp", os.Args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4) //nolint:forbidigo // here the binary is a program of its own
		}
		echo(listener)
		return
	}
	m.Run()
}

// echo returns every line to its sender until the listener is closed; a line
// that is a command is done and answered. Without descriptors it goes on.
func echo(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			runtime.Gosched()
			continue
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewReader(conn)
			for {
				line, err := lines.ReadString('\n')
				if _, werr := conn.Write([]byte(answer(line))); err != nil || werr != nil {
					return
				}
			}
		}()
	}
}

// Commands to the stand-in.
const (
	askTime   = "!time"   // wall clock and monotonic clock, in nanoseconds
	askMemory = "!memory" // takes 256 MiB
)

var (
	began = time.Now()
	taken []byte
)

func answer(line string) string {
	switch strings.TrimSpace(line) {
	case askTime:
		now := time.Now()
		return fmt.Sprintf("%d %d\n", now.UnixNano(), now.Sub(began))
	case askMemory:
		taken = make([]byte, 256<<20)
		return fmt.Sprintf("%d\n", len(taken))
	}
	return line
}

// process starts the stand-in as a system under test.
func process(t *testing.T) *sut.SUT {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	d, err := sut.Parse(fmt.Appendf(nil, `apiVersion: plumbline/v1
kind: SUT
name: echo
start:
  - name: echo
    command: [%q, "127.0.0.1:{{port:echo}}"]
    env: [FAULT_TEST_ECHO=1]
    ready: {tcp: "127.0.0.1:{{port:echo}}"}
broker: {url: "mqtt://127.0.0.1:{{port:echo}}"}
viewer: {protocol: plumbline, url: "ws://127.0.0.1:{{port:echo}}/"}
`, self), "echo.yaml", "")
	must(t, err)
	s, err := sut.New(sut.Options{Descriptor: d, Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	must(t, s.Start(limit(t)))
	return s
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("waited %v", patience))
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func recorder(t *testing.T) *record.Recorder {
	t.Helper()
	r, err := record.NewRecorder(t.TempDir(), record.NewClock())
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func eventsOf(t *testing.T, r *record.Recorder) []record.Event {
	t.Helper()
	must(t, r.Close())
	log, err := r.Log()
	must(t, err)
	return log.Events
}

// dial connects and gives the connection a deadline.
func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// ask sends a line and returns the answer or the error of reading it.
func ask(conn net.Conn, line string) (string, error) {
	if _, err := conn.Write([]byte(line + "\n")); err != nil {
		return "", err
	}
	buf := make([]byte, len(line)+1)
	for n := 0; n < len(buf); {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return "", err
		}
		n += m
	}
	return string(buf[:len(line)]), nil
}

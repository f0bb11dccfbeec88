package local_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"plumbline/harness/local"
)

// What connects from an address of its own takes no port from what connects without one: a proxy on
// this machine would else run out of them.
func TestPortStaysFree(t *testing.T) {
	server := listen(t)
	mine, err := local.Dialer("127.0.0.9").DialContext(t.Context(), "tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mine.Close() }()
	from := mine.LocalAddr().(*net.TCPAddr)
	if from.IP.String() != "127.0.0.9" {
		t.Errorf("it came from %s", from)
	}

	other := net.Dialer{Control: only(from.Port)}
	same, err := other.DialContext(t.Context(), "tcp", server)
	if errors.Is(err, unix.ENOPROTOOPT) {
		t.Skip("before Linux 6.3 a socket cannot be held to one port")
	}
	if err != nil {
		t.Fatalf("another connection, from port %d of 127.0.0.1: %v", from.Port, err)
	}
	defer func() { _ = same.Close() }()
	if got := same.LocalAddr().(*net.TCPAddr); got.Port != from.Port {
		t.Errorf("the other connection came from %s and not from port %d: it shows nothing", got, from.Port)
	}
}

// Without an address the system chooses one.
func TestNoAddress(t *testing.T) {
	conn, err := local.Dialer("").DialContext(t.Context(), "tcp", listen(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if from := conn.LocalAddr().(*net.TCPAddr); from.IP.String() != "127.0.0.1" {
		t.Errorf("it came from %s", from)
	}
}

// only lets a socket have one port when it connects (ip(7), IP_LOCAL_PORT_RANGE, Linux 6.3).
func only(port int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		control := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, port<<16|port)
		})
		if control != nil {
			return control
		}
		return err
	}
}

func listen(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

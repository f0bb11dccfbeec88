package bridge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// deaf makes a connection's system drop all that comes for it, unacknowledged, as if its network were gone.
func deaf(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// TestN73EventsOfWhoIsOutOfReachEnd: a stream whose viewer acknowledges nothing any more gives its place back after some heartbeats.
func TestN73EventsOfWhoIsOutOfReachEnd(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) {
		c.Viewers.Heartbeat, c.Viewers.WriteTimeout = config.Duration(200*time.Millisecond), config.Duration(2*time.Second)
	})
	tcp, err := net.Dial("tcp", r.b.Addresses().Viewers)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	conn := tls.Client(tcp, r.tls())
	if _, err := fmt.Fprintf(conn, "GET /sse?filter=a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", r.token(nil)); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(conn); lines.Scan() && !strings.Contains(lines.Text(), "heartbeat"); {
	}
	if r.openHTTP("sse") != 1 {
		t.Fatal("there is no stream")
	}
	deaf(t, tcp.(*net.TCPConn))
	eventually.Must(t, "the stream to end", func() bool { return r.openHTTP("sse") == 0 })
}

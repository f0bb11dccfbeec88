package httpwire

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"plumbline/bridge/internal/peer"
)

// giveUp makes the system end a connection when what was sent over it has not been acknowledged for so long (TCP_USER_TIMEOUT, RFC
// 5482): a stream never hears from its viewer, so that one whose network is gone would keep its place for a quarter of an hour.
func giveUp(conn net.Conn, after time.Duration) {
	tcp, ok := peer.TCP(conn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // where it cannot be set the system's own time holds
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
		})
	}
}

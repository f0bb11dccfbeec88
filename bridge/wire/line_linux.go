package wire

import (
	"net"

	"golang.org/x/sys/unix"

	"plumbline/bridge/internal/peer"
)

// lineOf looks at what was written to a TCP connection and has not arrived; nothing is known of other connections.
func lineOf(conn net.Conn) (l line) {
	tcp, ok := peer.TCP(conn)
	if !ok {
		return line{}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return line{}
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err == nil {
			l = line{arrived: info.Bytes_acked, waiting: waiting}
		}
	})
	if err != nil {
		return line{}
	}
	return l
}

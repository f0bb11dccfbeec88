package octets

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ethernetMSS is what TCP may put into a frame of Ethernet: 1500 bytes less 40 of headers.
const ethernetMSS = 1460

// shorten lets segments of a connection be no longer than those on Ethernet: within
// one machine they would hold up to 64 KiB each.
func shorten(_, _ string, raw syscall.RawConn) error {
	var err error
	if control := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, ethernetMSS)
	}); control != nil {
		return control
	}
	return err
}

// stamped is the option that both sides send time stamps (TCPI_OPT_TIMESTAMPS of linux/tcp.h).
const stamped = 1

// segments returns how many segments the kernel has sent and received over a
// connection; false when it does not tell, or they have other headers than SegmentHeader.
func segments(conn net.Conn) (out, in int64, told bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var info *unix.TCPInfo
	control := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if control != nil || err != nil || info.Options&stamped == 0 {
		return 0, 0, false
	}
	return int64(info.Segs_out), int64(info.Segs_in), true
}

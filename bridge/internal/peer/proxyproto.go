package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Sizes and beginnings of the PROXY protocol (haproxy.org, doc/proxy-protocol.txt, sections 2.1 and 2.2).
const (
	v1Begins = "PROXY "
	v1Most   = 107 // bytes, with the line's end
	v2Begins = "\r\n\r\n\x00\r\nQUIT\n"
	v2Most   = 2048 // bytes behind the first sixteen: addresses take 216 at most, the rest is for extensions
)

// errNoHeader says that a connection begins with something else.
var errNoHeader = errors.New("no PROXY protocol header")

// readHeader reads the PROXY protocol header, version 1 or 2, with which a connection begins, and not a byte of what follows. from is
// whom the proxy speaks for; it is not valid when that is nobody but itself, as for its health checks. The error is io.EOF when there
// is not a single byte.
func readHeader(r io.Reader) (from netip.AddrPort, err error) {
	head := make([]byte, len(v2Begins), v1Most) // no header is shorter
	switch _, err := io.ReadFull(r, head); {
	case errors.Is(err, io.EOF):
		return from, io.EOF
	case err != nil:
		return from, fmt.Errorf("%w: %w", errNoHeader, err)
	}
	switch {
	case string(head) == v2Begins:
		return readV2(r)
	case bytes.HasPrefix(head, []byte(v1Begins)):
		return readV1(r, head)
	}
	return from, errNoHeader
}

// readV1 reads the rest of a line such as "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n". It reads byte by byte: what follows is not
// for this reader, and a line is short.
func readV1(r io.Reader, line []byte) (from netip.AddrPort, err error) {
	for line[len(line)-1] != '\n' {
		if len(line) == v1Most {
			return from, fmt.Errorf("a header of version 1 is longer than %d bytes", v1Most)
		}
		if _, err := io.ReadFull(r, line[len(line):len(line)+1]); err != nil {
			return from, errors.New("a header of version 1 is cut off")
		}
		line = line[:len(line)+1]
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	fields := strings.Split(text, " ")
	if ok && len(fields) >= 2 && fields[1] == "UNKNOWN" { // whatever follows
		return from, nil
	}
	if !ok || len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return from, fmt.Errorf("a header of version 1 is malformed: %.107q", text)
	}
	var ends [2]netip.AddrPort // both are looked at: a header with one bad address is no header
	for i := range ends {
		ip, err := netip.ParseAddr(fields[2+i])
		port, bad := strconv.ParseUint(fields[4+i], 10, 16)
		if err != nil || bad != nil || ip.Zone() != "" || ip.Is4() != (fields[1] == "TCP4") || strconv.FormatUint(port, 10) != fields[4+i] {
			return from, fmt.Errorf("a header of version 1 has a bad address: %.107q", text)
		}
		ends[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return ends[0], nil
}

// readV2 reads what follows the first twelve bytes of version 2.
func readV2(r io.Reader) (from netip.AddrPort, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return from, errors.New("a header of version 2 is cut off")
	}
	version, family, size := head[0], head[1], int(binary.BigEndian.Uint16(head[2:]))
	if version != 0x20 && version != 0x21 { // LOCAL and PROXY; anything else must be refused
		return from, fmt.Errorf("a header has version and command %#02x, want 0x20 or 0x21", version)
	}
	if size > v2Most {
		return from, fmt.Errorf("a header of version 2 has %d bytes more, %d are allowed", size, v2Most)
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return from, errors.New("a header of version 2 is cut off")
	}
	if version == 0x20 {
		return from, nil
	}
	var width int // of an address
	switch family {
	case 0x00, 0x31: // not said, or a local socket: the proxy speaks for somebody who has no address
		return from, nil
	case 0x11:
		width = net.IPv4len
	case 0x21:
		width = net.IPv6len
	default:
		return from, fmt.Errorf("a header of version 2 has address family and protocol %#02x, want TCP over IPv4 (0x11) or IPv6 (0x21)", family)
	}
	if size < 2*width+4 {
		return from, fmt.Errorf("a header of version 2 has %d bytes of addresses, want %d", size, 2*width+4)
	}
	ip, _ := netip.AddrFromSlice(rest[:width])
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(rest[2*width:])), nil
}

// Package peer knows who is at the other end of a connection, as far as addresses tell.
package peer

import (
	"net"
	"net/netip"
)

// Host returns an address without its port.
func Host(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// Key names what a limit per address counts as one address: an address of IPv4, a /64 of IPv6, of which a host may take any
// address it likes (RFC 7721 section 2). The address may have a port; what is no address is a key of its own.
func Key(remote string) string { return network(remote, 32) }

// Network names the network that an address (with or without port) belongs to, as far as one household or office goes: the /24 of
// IPv4, the /64 of IPv6. What is no address is a network of its own.
func Network(remote string) string { return network(remote, 24) }

// network cuts an address to the given bits of IPv4, or 64 of IPv6.
func network(remote string, bits int) string {
	ip, ok := parse(remote)
	if !ok {
		return remote
	}
	if !ip.Is4() {
		bits = 64
	}
	net, err := ip.Prefix(bits)
	if err != nil {
		return remote
	}
	return net.String()
}

// parse reads an address, with or without port, or with the brackets and without the port, as some proxies write those of IPv6. IPv4
// in IPv6 is IPv4, and zones are left out: they are the reader's own.
func parse(text string) (netip.Addr, bool) {
	bare := text
	if n := len(text) - 1; n > 0 && text[0] == '[' && text[n] == ']' {
		bare = text[1:n]
	}
	ip, err := netip.ParseAddr(bare)
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = with.Addr()
	}
	return ip.Unmap().WithZone(""), true
}

// Package local connects from a chosen address of this machine. One address has 28,232 ports
// for connections to one server (net.ipv4.ip_local_port_range, Linux as it comes), and loopback has
// many addresses: that is how tens of thousands of clients find room on one machine.
package local

import "net"

// Dialer returns one whose connections come from an address, of IPv4 or IPv6; from the one that the
// system chooses when it is empty. The port is the system's to choose, and only once the server is
// known, so that another connection to elsewhere may have the same one. Bound at once, as package net
// does it, each port would be taken from whoever else connects on this machine, a proxy among them:
// from some 14,100 connections to one of its servers on that proxy gets no port any more, though half
// of them are free.
func Dialer(address string) *net.Dialer {
	if address == "" {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Control: late}
}

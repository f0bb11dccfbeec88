// Package remoteport reaches serial ports of other machines: rfc2217:// by the
// Telnet option of RFC 2217, which carries speed, framing, modem lines and
// break as well, and tcp:// for the bytes alone.
//
// Both are serial.Port of go.bug.st/serial, so that a driver need not know.
// What comes from the other side is bounded: it may answer wrongly, not at all
// or without end.
package remoteport

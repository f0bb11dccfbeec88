// Package ptytwin stands a seeded serial sensor up on a pseudo terminal: a
// driver opens its path like any port, with the real serial library and the
// real line discipline of the kernel.
//
// The twin sends at the pace of the port: it reads baud rate, parity and stop
// bits, as the host set them, from the master side and writes each byte when a
// UART would have finished it. It can be unplugged and plugged in again under
// the same path, made noisy and stalled, and it counts exactly what it did.
//
// A pty is no UART in these points: it has no modem lines (DTR and RTS answer
// ENOTTY), data bits are always 8, and parity errors cannot be made.
//
// Ptys exist on Linux and macOS; elsewhere NewPair returns ErrUnsupported. With
// Options.Open a twin stands on a port of another kind, such as a USB adapter.
package ptytwin

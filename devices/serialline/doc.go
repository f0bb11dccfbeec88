// Package serialline reads sensors on a serial line: framing, checking and
// stamping over a port that go.bug.st/serial opened, or over any stream.
//
// What the driver guards against, each seen on real ports or ptys:
//
//   - A read that times out returns (0, nil); it is no end of stream.
//   - An unplug looks like a close by ourselves (code PortClosed) or like EIO:
//     the driver remembers who closed, and waits for the device to come back:
//     the device, by its USB identity, because names swap at a replug.
//   - Ports without modem lines (ptys, some gadgets) answer ENOTTY to DTR and
//     RTS: tolerated and noted.
//   - Bytes that lay in the port before it was opened are of unknown age: they
//     are dropped and counted, and the first line after an opening may be cut.
//   - The last, cut line before an unplug is kept as evidence, never published.
//   - The library waits with select(2): a descriptor of 1024 or more makes it
//     panic. On Linux bytes go through the runtime's poller instead, at no
//     thread for each port; elsewhere the driver refuses to open such a port and
//     says what to do.
//   - Between open(2) and the setting of raw mode a tty echoes what comes in to
//     the device. Config.Prelude, an empty line say, ends the junk command that
//     the device may have seen.
package serialline

// Package virtual is the second tier of the virtual bench: sensor nodes whose
// firmware (package firmware) runs on an emulated board, so that a value set on
// the sensor's own bus comes out of a real driver, a real interrupt and a real
// UART, and a command ends at the pins of a chip.
//
// A Twin is the same node of the first tier: computed, on a pseudo terminal. It
// speaks and obeys as the firmware does and can have the same done to it.
//
// The emulator is qemu-system-arm 7.2 or newer. Where it is not installed Start
// returns ErrNoEmulator; nothing takes its place.
//
// What the emulated board does otherwise than a real one:
//
//   - Its UART has no speed. A Node puts its lines on a pseudo terminal, which
//     paces them.
//   - Its clock follows that of the host to some 30 ppm on a quiet machine and
//     some hundred on a busy one (Live), or no clock at all (FastForward).
//   - A UART that nobody reads stops the whole machine within half a second, its
//     control socket too. Whoever holds Machine.Serial must read on; a Node does.
//
// It is the third tier, too: a Guest is an emulated PC with Debian's kernel, whose
// own USB serial drivers meet adapters of package usbip, and an agent that reads
// their ports (package guest). The emulator is qemu-system-x86_64, the kernel is
// unpacked by make deps-guest; where one is missing StartGuest returns ErrNoGuest.
// A line takes milliseconds longer through it: latencies are those of the tier.
package virtual

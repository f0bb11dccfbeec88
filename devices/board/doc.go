// Package board does things to a real device on a serial line beside reading it:
// it sets the physical value behind a reading by a modem line or by a command that
// the device takes, moves an actuator, and looks at what the device tells of it.
//
// How that is done is declared by the user of the device; what was declared is all
// that is ever written to it.
package board

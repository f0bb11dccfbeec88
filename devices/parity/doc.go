// Package parity holds the twins of the drivers against recordings of real
// devices: what their frames are, how many pass their check, when they come and
// what they say. It has tests only:
//
//	PLUMBLINE_DATA=/path/to/recordings go test -v ./devices/parity
//
// prints the table. Without recordings it prints the half of the twins.
package parity

// Package sut is the system under test: what a descriptor says about it, its
// processes, its keys and its figures.
//
// The default is bridged, the daemon of this module, started as a child
// process; any other bridge is named by a descriptor file. This is the only
// package of the harness that knows the bridge, and it knows nothing but its
// configuration file and its command line. It does not measure and does not
// judge.
package sut

// Package recorder keeps what a device says in a file that devices/replay plays:
// the bytes of a serial or remote port as they came, with the modem lines and
// what the kernel counts as line errors and breaks, or the messages of an MQTT
// topic filter.
//
// Every line of the file is written in one piece and the file is put on the disk
// every second, so that whatever ends the program, a recording is read up to where
// it was cut. What comes faster than the disk takes it is not kept in memory
// without end: pieces that are left out are counted in the recording.
package recorder

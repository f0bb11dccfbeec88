// Package guest reads serial ports of a Linux machine that has nothing but the
// agent of this package in it: the third tier of the virtual bench. The agent
// runs the serial driver of package serialline, so that it meets a real kernel
// with real drivers; everything else stays on the host: USB devices (package
// usbip), codecs, clocks and whoever judges.
//
// Each connection to the agent does one thing, said in its first line: it asks
// for the ports, becomes the cable of a USB device, or the bytes of a port.
package guest

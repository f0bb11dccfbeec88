// Package inventory says which serial ports this machine has, what is plugged
// into them and how each is named so that the name still fits tomorrow.
//
// A number such as ttyUSB0 is given in the order of plugging in and means
// another device after the next replug. So ports are chosen by a [Selector]:
// vendor, product and serial number, or the USB socket; a selector that fits
// no port or several is an error that names the candidates.
//
// Nothing is opened unless [Listen] is called: opening a port resets some
// boards and disturbs whoever uses it. On Linux everything is read from sysfs
// and procfs under an injectable root; the library's enumerator opens every
// /dev/ttyS* to see whether hardware is behind it, and is used elsewhere.
package inventory

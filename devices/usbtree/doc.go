// Package usbtree stands up USB serial adapters without USB: it writes what the
// kernel shows of them in sysfs, and a device node, so that the real
// enumerators find vendor, product and serial number of a pty twin.
//
// Under a folder of its own it feeds code that takes a root. With [Enter] it
// stands under / itself, in a mount namespace that only this process and its
// children see. Plug and Unplug keep to the kernel's order: the node appears
// last and goes first.
package usbtree

// Package usbip is USB serial adapters without hardware: it plays a device
// towards the vhci_hcd driver of a Linux kernel, which takes USB transfers over
// a stream (USB/IP, kernel documentation usb/usbip_protocol), so that the
// kernel's own ftdi_sio and cdc_acm drive it and a serial port like any other
// appears. Identity, line coding, modem lines, breaks and line errors are those
// of the adapter; when the stream ends, it is unplugged.
//
// It knows no kernel, machine or test: a stream is all that it is given.
package usbip

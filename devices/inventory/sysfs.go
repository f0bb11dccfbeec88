package inventory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// readSysfs lists the ports that sysfs knows under the root. A terminal is a
// port when a device stands behind it; a ttyS* of type 0 is a place that the
// driver keeps for hardware nobody built in (PORT_UNKNOWN of the kernel's
// serial_core.h). One broken entry does not hide the others.
func (inv Inventory) readSysfs() ([]Port, error) {
	class := inv.at("/sys/class/tty")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no /sys/class/tty; mount sysfs")
	}
	if err != nil {
		return nil, err
	}
	var out []Port
	for _, e := range entries {
		tty := filepath.Join(class, e.Name())
		device, err := filepath.EvalSymlinks(filepath.Join(tty, "device"))
		if err != nil || attribute(tty, "type") == "0" {
			continue // a console, a pseudo terminal, an empty place
		}
		p := Port{Path: inv.at("/dev/" + e.Name())}
		p.Driver = driver(device)
		describeUSB(&p, device)
		out = append(out, p)
	}
	return out, nil
}

// driver names the driver of a device. Kernels from 6.5 on put two devices of
// the bus serial-base before the one of a port of the board.
func driver(device string) string {
	for range maxLevels {
		if linkName(filepath.Join(device, "subsystem")) != "serial-base" {
			break
		}
		device = filepath.Dir(device)
	}
	return linkName(filepath.Join(device, "driver"))
}

// maxLevels is how far above a port its USB device may lie: usb-serial has the
// interface between them, hubs lie above the device.
const maxLevels = 4

// describeUSB fills in what the USB device above the port says about itself.
func describeUSB(p *Port, device string) {
	dir := device
	iface := ""
	for range maxLevels {
		if attribute(dir, "bInterfaceNumber") != "" || strings.Contains(filepath.Base(dir), ":") {
			iface = dir
		}
		if vid := attribute(dir, "idVendor"); vid != "" {
			p.USB = true
			p.VID, p.PID = hexID(vid), hexID(attribute(dir, "idProduct"))
			p.Serial, p.Manufacturer, p.Product = attribute(dir, "serial"), attribute(dir, "manufacturer"), attribute(dir, "product")
			p.USBPath = filepath.Base(dir)
			p.Unit = unit(device, iface)
			if p.Driver == "" && iface != "" {
				p.Driver = linkName(filepath.Join(iface, "driver"))
			}
			return
		}
		dir = filepath.Dir(dir)
	}
}

// unit names one port of an adapter that has several: the number of its
// interface, and behind a dot the port of an interface that serves more.
func unit(device, iface string) string {
	number := attribute(iface, "bInterfaceNumber")
	if number == "" { // the folder's name ends with configuration.interface
		name := filepath.Base(iface)
		number = name[strings.LastIndex(name, ".")+1:]
	}
	if number = strings.TrimLeft(number, "0"); number == "" {
		number = "0"
	}
	if port := attribute(device, "port_number"); port != "" && port != "0" {
		number += "." + port
	}
	return number
}

// hexID is a vendor or product number as four digits in lower case, "" when it
// is none: it becomes part of selectors and of commands to paste.
func hexID(text string) string {
	text = strings.ToLower(text)
	if len(text) != 4 || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}

// maxAttribute bounds what is read of one attribute: a USB string descriptor
// holds at most 126 characters (USB 2.0 section 9.6.7).
const maxAttribute = 1024

// attribute reads one attribute of sysfs, "" when there is none. Characters
// that could break a line or a terminal are taken out.
func attribute(dir, name string) string {
	if dir == "" {
		return ""
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, maxAttribute)
	n, _ := f.Read(buf) // an empty attribute reads as the end of the file
	text := strings.ToValidUTF8(string(buf[:n]), "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text))
}

// linkName is the last part of what a link leads to, "" when it is none.
func linkName(link string) string {
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

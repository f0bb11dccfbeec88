package usbip

import (
	"encoding/binary"
	"unicode/utf16"
)

// Types of descriptors (USB 2.0, table 9-5; CDC 1.2, table 12).
const (
	typeDevice      = 1
	typeConfig      = 2
	typeString      = 3
	typeInterface   = 4
	typeEndpoint    = 5
	typeCSInterface = 0x24
)

// Indices of the strings.
const (
	stringMaker = 1 + iota
	stringProduct
	stringSerial
)

// Transfer types of endpoints (USB 2.0, table 9-13).
const (
	bulk      = 2
	interrupt = 3
)

const (
	packetSize = 64  // of a bulk endpoint at full speed
	maxString  = 126 // characters that a string descriptor has room for
)

// deviceDescriptor is USB 2.0, table 9-8.
func deviceDescriptor(class byte, o Options, release uint16) []byte {
	d := []byte{18, typeDevice, 0x00, 0x02, class, 0, 0, 8}
	d = binary.LittleEndian.AppendUint16(d, o.VID)
	d = binary.LittleEndian.AppendUint16(d, o.PID)
	d = binary.LittleEndian.AppendUint16(d, release)
	return append(d, named(o.Manufacturer, stringMaker), named(o.Product, stringProduct), named(o.Serial, stringSerial), 1)
}

// named is the index of a string, or 0 when there is none.
func named(text string, index byte) byte {
	if text == "" {
		return 0
	}
	return index
}

// configDescriptor is USB 2.0, table 9-10, with all that belongs to it.
func configDescriptor(interfaces byte, parts ...[]byte) []byte {
	c := []byte{9, typeConfig, 0, 0, interfaces, 1, 0, 0xA0, 45} // powered by the bus, 90 mA
	for _, p := range parts {
		c = append(c, p...)
	}
	binary.LittleEndian.PutUint16(c[2:], uint16(len(c)))
	return c
}

// interfaceDescriptor is USB 2.0, table 9-12.
func interfaceDescriptor(number, endpoints, class, subclass, protocol byte) []byte {
	return []byte{9, typeInterface, number, 0, endpoints, class, subclass, protocol, 0}
}

// endpointDescriptor is USB 2.0, table 9-13; bit 7 of the address is IN.
func endpointDescriptor(address, kind, interval byte, size uint16) []byte {
	return []byte{7, typeEndpoint, address, kind, byte(size), byte(size >> 8), interval}
}

// stringDescriptor is USB 2.0, table 9-16.
func stringDescriptor(text string) []byte {
	units := utf16.Encode([]rune(text))
	units = units[:min(len(units), maxString)]
	d := []byte{byte(2 + 2*len(units)), typeString}
	for _, u := range units {
		d = binary.LittleEndian.AppendUint16(d, u)
	}
	return d
}

// Standard requests (USB 2.0, table 9-4).
const (
	getStatus        = 0
	clearFeature     = 1
	setFeature       = 3
	getDescriptor    = 6
	getConfiguration = 8
	setConfiguration = 9
	getInterface     = 10
	setInterface     = 11
)

// standard answers a standard request; false is a stall.
func (a *Adapter) standard(s Setup) ([]byte, bool) {
	switch s.Request {
	case getDescriptor:
		return a.descriptor(byte(s.Value>>8), byte(s.Value))
	case getStatus:
		return []byte{0, 0}, true
	case getConfiguration:
		return []byte{a.configured}, true
	case setConfiguration:
		if s.Value > 1 {
			return nil, false
		}
		a.configured = byte(s.Value)
		return nil, true
	case getInterface:
		return []byte{0}, true
	case setInterface:
		return nil, s.Value == 0
	case clearFeature, setFeature:
		return nil, true
	}
	return nil, false
}

func (a *Adapter) descriptor(kind, index byte) ([]byte, bool) {
	switch kind {
	case typeDevice:
		return a.chip.device(a.opts), true
	case typeConfig:
		return a.chip.config(), index == 0
	case typeString:
		texts := map[byte]string{stringMaker: a.opts.Manufacturer, stringProduct: a.opts.Product, stringSerial: a.opts.Serial}
		if index == 0 {
			return []byte{4, typeString, 0x09, 0x04}, true // English (United States)
		}
		text := texts[index]
		return stringDescriptor(text), text != ""
	}
	return nil, false
}

//go:build !linux && (!darwin || cgo)

package inventory

import (
	"strings"

	"go.bug.st/serial/enumerator"
)

// enumerate asks the system for its serial ports, or reads a root that looks
// like Linux, as tests make it.
func (inv Inventory) enumerate() ([]Port, error) {
	if inv.Root != "" {
		return inv.readSysfs()
	}
	found, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var out []Port
	for _, p := range found {
		if p.Name == "" {
			continue // a port without a device behind it
		}
		out = append(out, Port{Path: p.Name, USB: p.IsUSB, VID: hexID(strings.ToLower(p.VID)), PID: hexID(strings.ToLower(p.PID)),
			Serial: p.SerialNumber, Manufacturer: p.Manufacturer, Product: p.Product})
	}
	return out, nil
}

//go:build !darwin || cgo

package bench

import "go.bug.st/serial/enumerator"

// enumerate asks the system for its serial ports. Nothing is probed.
func enumerate() ([]Port, error) {
	found, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var out []Port
	for _, p := range found {
		if p.Name == "" {
			continue // a port without a device behind it
		}
		out = append(out, Port{Path: p.Name, USB: p.IsUSB, VID: p.VID, PID: p.PID, Serial: p.SerialNumber, Product: p.Product})
	}
	return out, nil
}

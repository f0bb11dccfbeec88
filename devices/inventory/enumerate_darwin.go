//go:build !cgo

package inventory

import "go.bug.st/serial"

// enumerate lists paths only: macOS tells more about its ports through a
// framework that a program built without cgo cannot call.
func (inv Inventory) enumerate() ([]Port, error) {
	if inv.Root != "" {
		return inv.readSysfs()
	}
	paths, err := serial.GetPortsList()
	if err != nil {
		return nil, err
	}
	out := make([]Port, 0, len(paths))
	for _, path := range paths {
		out = append(out, Port{Path: path})
	}
	return out, nil
}

// Package power switches the power of a real device: by a relay on a USB or serial
// port, or by the switch that some USB hubs have for each of their ports, through
// the program uhubctl.
//
// A Switch does what it is told and cannot see whether current flows: whoever
// switches looks at the device.
package power

import (
	"context"
	"errors"
)

// Switch gives power to a device and takes it away. Set blocks until it is done, at
// most for some seconds or until ctx ends; to switch to what it is already changes
// nothing.
type Switch interface {
	Set(ctx context.Context, on bool) error
}

// ErrSettings marks settings of a switch that cannot be.
var ErrSettings = errors.New("power: wrong settings")

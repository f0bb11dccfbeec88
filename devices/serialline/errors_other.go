//go:build !linux

package serialline

import "go.bug.st/serial"

// lineErrors says that only Linux tells them.
func lineErrors(serial.Port) (LineErrors, error) { return LineErrors{}, ErrNoCounts }

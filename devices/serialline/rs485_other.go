//go:build !linux

package serialline

import "go.bug.st/serial"

// setRS485 says that only Linux has the setting.
func setRS485(serial.Port, RS485) error { return errNoRS485 }

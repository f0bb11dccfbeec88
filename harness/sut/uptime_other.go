//go:build !linux

package sut

import (
	"errors"
	"time"
)

var errUptime = errors.New("the time since boot can be set for a process on Linux only")

func setUptime(time.Duration) error { return errUptime }

// CanSetUptime returns why Options.Uptime cannot be as long on this machine, nil
// when it can: it takes Linux with time namespaces and the right to make one.
func CanSetUptime(time.Duration) error { return errUptime }

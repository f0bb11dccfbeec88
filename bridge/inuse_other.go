//go:build !windows

package bridge

import (
	"errors"
	"syscall"
)

// inUse reports whether a bind failed because another socket has the address.
func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

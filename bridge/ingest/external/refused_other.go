//go:build !windows

package external

import (
	"errors"
	"syscall"
)

// connRefused reports whether nobody listens at an address.
func connRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

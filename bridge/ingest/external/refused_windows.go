package external

import (
	"errors"
	"syscall"
)

// wsaeconnrefused is WSAECONNREFUSED.
const wsaeconnrefused = syscall.Errno(10061)

// connRefused reports whether nobody listens at an address.
func connRefused(err error) bool { return errors.Is(err, wsaeconnrefused) }

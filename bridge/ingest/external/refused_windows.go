package external

import (
	"errors"
	"syscall"
)

// wsaeconnrefused is WSAECONNREFUSED.
const wsaeconnrefused = syscall.Errno(10061)

func refused(err error) bool { return errors.Is(err, wsaeconnrefused) }

package bridge

import (
	"errors"
	"syscall"
)

// wsaeaddrinuse is Windows' own code; syscall.EADDRINUSE is an invented one there.
const wsaeaddrinuse = syscall.Errno(10048)

// inUse reports whether a bind failed because another socket has the address.
func inUse(err error) bool { return errors.Is(err, wsaeaddrinuse) }

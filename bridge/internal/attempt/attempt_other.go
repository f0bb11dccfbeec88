//go:build !unix

package attempt

import "net"

// Attempt exists on Unix only; elsewhere everybody is written to by who may wait.
type Attempt struct{}

// New returns nil.
func New(net.Conn) *Attempt { return nil }

// Write writes nothing.
func (*Attempt) Write([]byte) (int, error) { return 0, nil }

package devicetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// lastPort is the one that FreePort gave out last, counted from its first.
var lastPort atomic.Int64 //nolint:gochecknoglobals // of the process, since its ports are

// begin makes lastPort a number that no other process is likely to have.
var begin = sync.OnceFunc(func() { lastPort.Store(rand.Int64N(manyPorts)) }) //nolint:gochecknoglobals,gosec // as above, and anybody may guess it

// Of what FreePort gives out.
const (
	firstPort = 10_000
	manyPorts = 5_000
)

// FreePort returns a port of the loopback that nobody listens on, for a program
// that opens it itself. It lies below those that systems give to outgoing
// connections and to who asks for any: one of these could take it before the
// program does, or while it is restarted. Processes that run at the same time
// begin at different places.
func FreePort(tb testing.TB) int {
	tb.Helper()
	begin()
	for range manyPorts {
		port := firstPort + int(lastPort.Add(1)%manyPorts)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // nobody waits here
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	tb.Fatalf("no port from %d to %d is free", firstPort, firstPort+manyPorts-1)
	return 0
}

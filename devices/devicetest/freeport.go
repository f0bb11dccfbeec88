package devicetest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// lastPort is the one that FreePort gave out last, counted from its first.
var lastPort atomic.Int64 //nolint:gochecknoglobals // of the process, since its ports are

// FreePort returns a port of the loopback that nobody listens on, for a program
// that opens it itself. It lies below those that systems give to outgoing
// connections and to who asks for any: one of these could take it before the
// program does, or while it is restarted. Processes that run at the same time
// begin at different places.
func FreePort(tb testing.TB) int {
	tb.Helper()
	const first, many = 10_000, 10_000
	lastPort.CompareAndSwap(0, int64(os.Getpid())*97)
	for range many {
		port := first + int(lastPort.Add(1)%many)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // nobody waits here
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	tb.Fatalf("no port from %d to %d is free", first, first+many-1)
	return 0
}

//go:build !linux

package fault

import "fmt"

var (
	memoryLimit     = limit{what: "memory limit", room: noRoom}
	descriptorLimit = limit{what: "descriptor limit", room: noRoom}
)

func noRoom(int, uint64) (uint64, error) {
	return 0, fmt.Errorf("%w: limits of another process can be changed on Linux only (prlimit(2))", ErrUnavailable)
}

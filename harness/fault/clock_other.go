//go:build !(linux && amd64)

package fault

import "fmt"

func stepClock(int, int64) error { return tryClock() }

func tryClock() error {
	return fmt.Errorf("%w: the clock of one process can be stepped on Linux on amd64 only", ErrUnavailable)
}

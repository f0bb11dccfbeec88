package fault

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Running is a process that runs here; *sut.SUT is one. Pid is 0 when it does
// not run.
type Running interface{ Pid() int }

// limit is a resource limit that MemoryPressure or DescriptorPressure lowers.
type limit struct {
	what string
	// room returns the limit that leaves spare to a process.
	room func(pid int, spare uint64) (uint64, error)
	// set changes the soft limit and returns the one before.
	set func(pid int, soft uint64) (before uint64, err error)
}

// pressure lowers a limit of a running process until it is reverted. The
// process that Inject found is the one that Revert lets go; one that was started
// meanwhile never had the limit.
func pressure(name string, p Running, spare int64, l limit) Fault {
	var mu sync.Mutex
	pid, before := 0, uint64(0)
	inject := func() error {
		mu.Lock()
		defer mu.Unlock()
		if spare < 0 {
			return fmt.Errorf("%d is less than nothing to spare", spare)
		}
		now := p.Pid()
		if now == 0 {
			return fmt.Errorf("%w: the process does not run on this machine, or not under this harness", ErrUnavailable)
		}
		soft, err := l.room(now, uint64(spare))
		if err != nil {
			return fmt.Errorf("%s of process %d: %w", l.what, now, err)
		}
		old, err := l.set(now, soft)
		if err != nil {
			return fmt.Errorf("%s of process %d: %w", l.what, now, err)
		}
		if now != pid { // a second injection found the limit of the first
			pid, before = now, old
		}
		return nil
	}
	revert := func() error {
		mu.Lock()
		defer mu.Unlock()
		if pid == 0 || p.Pid() != pid {
			pid = 0
			return nil
		}
		if _, err := l.set(pid, before); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		pid = 0
		return nil
	}
	return plain(name, inject, revert)
}

// MemoryPressure leaves a running process spare bytes of memory beyond what it
// has mapped: whatever asks the kernel for more gets none. It limits the address
// space of the process (RLIMIT_AS, setrlimit(2)), not its children. A program in
// Go ends when it gets none; one that stays within what it has does not notice,
// and what a runtime has reserved counts as what it has (Go: up to 64 MiB).
// Linux only: elsewhere Inject returns ErrUnavailable.
func MemoryPressure(name string, p Running, spare int64) Fault {
	return pressure(fmt.Sprintf("%s (%d bytes to spare)", name, spare), p, spare, memoryLimit)
}

// DescriptorPressure leaves a running process spare file descriptors beyond
// those that it has open: the next open, accept or socket fails with EMFILE
// (RLIMIT_NOFILE, setrlimit(2)). Linux only: elsewhere Inject returns
// ErrUnavailable.
func DescriptorPressure(name string, p Running, spare int) Fault {
	return pressure(fmt.Sprintf("%s (%d descriptors to spare)", name, spare), p, int64(spare), descriptorLimit)
}

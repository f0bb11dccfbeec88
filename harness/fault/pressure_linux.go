package fault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

var (
	memoryLimit     = limit{what: "memory limit", room: memoryRoom, set: setter(unix.RLIMIT_AS)}
	descriptorLimit = limit{what: "descriptor limit", room: fileRoom, set: setter(unix.RLIMIT_NOFILE)}
)

// setter changes a soft limit and leaves the hard one, so that no privilege is
// needed to raise it again.
func setter(resource int) func(pid int, soft uint64) (uint64, error) {
	return func(pid int, soft uint64) (uint64, error) {
		var old unix.Rlimit
		err := unix.Prlimit(pid, resource, nil, &old)
		if err == nil {
			err = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: min(soft, old.Max), Max: old.Max}, nil)
		}
		switch {
		case errors.Is(err, unix.ESRCH): // it has ended, and its limits with it
			return 0, os.ErrProcessDone
		case errors.Is(err, unix.EPERM):
			return 0, fmt.Errorf("%w: it belongs to another user; run the harness as that user or as root", ErrUnavailable)
		}
		return old.Cur, err
	}
}

// memoryRoom reads how large the address space is (proc_pid_status(5), VmSize).
// A limit of its data alone (RLIMIT_DATA) would not hold: reserving memory first
// and then making it writable, as Go does, is not counted against it.
func memoryRoom(pid int, spare uint64) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "VmSize:" {
			kilobytes, err := strconv.ParseUint(string(fields[1]), 10, 50)
			return kilobytes<<10 + spare, err
		}
	}
	return 0, fmt.Errorf("%w: the kernel does not say how much it uses", ErrUnavailable)
}

// fileRoom returns the limit below which spare numbers are free: a new
// descriptor takes the lowest free one, and the limit is about numbers.
func fileRoom(pid int, spare uint64) (uint64, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	open := make([]uint64, 0, len(entries))
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			open = append(open, n)
		}
	}
	slices.Sort(open)
	limit := spare // were none open; each open one below moves it up
	for _, n := range open {
		if n <= limit { // one at the limit, too: poll(2) fails with more descriptors than the limit
			limit++
		}
	}
	return limit, nil
}

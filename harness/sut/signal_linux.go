package sut

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ownGroup keeps Ctrl-C of the terminal from the child and kills the child
// when the harness dies without a chance to do so.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// crowded reports whether a process of the group still runs, which one that is
// dead and that nobody has waited for does not: its files and ports are closed.
func crowded(group int) bool {
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(names) == 0 {
		return true
	}
	for _, name := range names {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // the process has ended
		}
		// Behind the name, which may hold anything, stand state, parent, group and,
		// as the 18th, the number of threads (proc(5)). The state is that of the
		// first thread, which may be dead while others still hold the files.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 17 && fields[2] == strconv.Itoa(group) && ((fields[0] != "Z" && fields[0] != "X") || fields[17] > "1") {
			return true
		}
	}
	return false
}

// stopped reports whether every thread of the process has come to a halt: the
// signal takes effect some time after kill(2) has returned.
func stopped(pid int) bool {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(names) == 0 {
		return false
	}
	for _, name := range names {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// The state follows the name of the program, which may hold anything (proc(5)).
		i := bytes.LastIndexByte(stat, ')')
		if i < 0 || i+2 >= len(stat) || (stat[i+2] != 'T' && stat[i+2] != 't') {
			return false
		}
	}
	return true
}

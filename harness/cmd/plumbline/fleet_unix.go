//go:build unix

package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// peakMemory says how much memory an ended process has held (getrusage(2)).
func peakMemory(p *os.ProcessState) string {
	u, is := p.SysUsage().(*syscall.Rusage)
	if !is {
		return "unknown memory"
	}
	kib := u.Maxrss
	if runtime.GOOS == "darwin" {
		kib /= 1024 // bytes there
	}
	return fmt.Sprintf("%d MiB at most", kib/1024)
}

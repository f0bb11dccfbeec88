package sut

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// setUptime has the processes that this thread starts from now on see a machine
// that has been up for so long: in a time namespace of their own, which they
// enter as they are executed (time_namespaces(7)). The thread itself stays where
// it is, and is of no other use any more.
func setUptime(up time.Duration) error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return fmt.Errorf("time namespace: %w", err)
	}
	text := ""
	for name, clock := range map[string]int32{"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME} {
		var now unix.Timespec
		if err := unix.ClockGettime(clock, &now); err != nil {
			return fmt.Errorf("clock %s: %w", name, err)
		}
		text += fmt.Sprintf("%s %d 0\n", name, wholeSeconds(up-time.Duration(now.Nano())))
	}
	file, err := os.OpenFile(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("time namespace: %w", err)
	}
	_, err = file.WriteString(text)
	if err != nil {
		err = fmt.Errorf("time namespace: offsets: %w", err)
	}
	if ended := file.Close(); err == nil && ended != nil {
		err = fmt.Errorf("time namespace: offsets: %w", ended)
	}
	return err
}

// wholeSeconds rounds towards the past: nobody sees an uptime beyond the one asked for.
func wholeSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second < 0 {
		s--
	}
	return s
}

// CanSetUptime returns why Options.Uptime cannot be as long on this machine, nil
// when it can: it takes Linux with time namespaces and the right to make one.
func CanSetUptime(up time.Duration) error {
	tried := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		err := setUptime(up)
		if err == nil { // kernels before 6.2 make the namespace, but no process in it that shares memory until it is executed
			err = exec.CommandContext(context.Background(), "true").Run()
		}
		tried <- err
	}()
	return <-tried
}

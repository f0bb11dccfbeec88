package hub

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps as exactly as the kernel can. A timer of the runtime is up to a
// millisecond late when nothing else goes on, because epoll_wait(2) counts in
// milliseconds: as long as the pacer's own pauses. The zero value sleeps by it.
type pause struct {
	fd    int
	timer *os.File // of fd; nil when there is none
}

// newPause returns a pause, the zero one where the system gives no timer. Close it.
func newPause() pause {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return pause{}
	}
	return pause{fd, os.NewFile(uintptr(fd), "timer")}
}

// sleep blocks for d, but no thread with it.
func (p pause) sleep(d time.Duration) {
	var expirations [8]byte
	after := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if p.timer == nil || unix.TimerfdSettime(p.fd, 0, &after, nil) != nil {
		<-time.After(d)
		return
	}
	_, _ = p.timer.Read(expirations[:]) // an error ends the pause early, which harms nobody
}

func (p pause) close() {
	if p.timer != nil {
		_ = p.timer.Close() // nothing is written to it
	}
}

package exact

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Now reads CLOCK_MONOTONIC in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// newBell returns the clock of the kernel that rings at an instant (timerfd_create(2)),
// or that of the runtime where no descriptor is left.
func newBell() bell {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return newTimer()
	}
	return &timerfd{fd: fd}
}

// timerfd is a bell whose wait blocks the thread in the kernel: it is woken by the
// interrupt itself. Setting it anew moves a wait that goes on.
type timerfd struct{ fd int }

func (b *timerfd) set(due int64) {
	// A relative or absolute time in the past rings at once; 0 would switch it off.
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(due, 1))}
	_ = unix.TimerfdSettime(b.fd, unix.TFD_TIMER_ABSTIME, &spec, nil) // fails for what is no timer or no time only
}

func (b *timerfd) wait() {
	var count [8]byte
	for {
		if _, err := unix.Read(b.fd, count[:]); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (b *timerfd) close() { _ = unix.Close(b.fd) }

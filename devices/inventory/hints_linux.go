package inventory

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Hints says that something may have been plugged in or out, by the name of
// what told it. Hints that nobody takes are merged. The channel is closed once
// ctx has ended; where nothing can be listened to it stays silent.
func (inv Inventory) Hints(ctx context.Context) <-chan string {
	hints := make(chan string, 1)
	var done sync.WaitGroup
	if file := inv.openInotify(); file != nil {
		done.Go(func() { listen(ctx, file, "inotify", func([]byte) bool { return true }, hints) })
	}
	if file := openUevents(); file != nil && inv.Root == "" {
		done.Go(func() { listen(ctx, file, "uevent", ofTTY, hints) })
	} else if file != nil {
		_ = file.Close()
	}
	go func() {
		<-ctx.Done()
		done.Wait()
		close(hints)
	}()
	return hints
}

// listen passes on that something came until ctx ends or the file fails.
func listen(ctx context.Context, file *os.File, name string, concerns func([]byte) bool, hints chan<- string) {
	defer func() { _ = file.Close() }() // read only
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		n, err := file.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // more came than the kernel kept: that is a hint, too
			return
		}
		if err == nil && !concerns(buf[:n]) {
			continue
		}
		select {
		case hints <- name:
		default:
		}
	}
}

// ofTTY reports whether a uevent is one of a terminal.
func ofTTY(message []byte) bool { return bytes.Contains(message, []byte("\x00SUBSYSTEM=tty\x00")) }

// openInotify watches the folder of devices; nil when that cannot be done.
func (inv Inventory) openInotify() *os.File {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	const what = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_ATTRIB
	if _, err := unix.InotifyAddWatch(fd, inv.at("/dev"), what); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "inotify")
}

// openUevents listens to what the kernel says of its devices (group 1 of
// NETLINK_KOBJECT_UEVENT); nil when that cannot be done.
func openUevents() *os.File {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "uevents")
}

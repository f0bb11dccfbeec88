package inventory_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// needInotify skips the test where the host has no inotify left: its limit
// (fs.inotify.max_user_instances) is shared by all containers of a user.
func needInotify(t *testing.T) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Skipf("this host gives no inotify: %v; see fs.inotify.max_user_instances", err)
	}
	_ = unix.Close(fd)
}

// needUevents skips the test where the kernel's messages cannot be listened to.
func needUevents(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		defer func() { _ = unix.Close(fd) }()
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		t.Skipf("this host lets nobody listen to uevents: %v", err)
	}
}

//go:build linux

// Guestinit is the only program of a guest of the virtual bench, its /init: it
// loads the kernel modules that lie beside it, brings the network up and serves
// the agent of package guest.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"plumbline/devices/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestinit: this is the first program of an emulated machine, not one to be called")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "guestinit:", err)
		os.Exit(1) // the kernel panics, and the machine ends
	}
}

func run() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	if err := load("/modules"); err != nil {
		return err
	}
	if err := network("eth0", [4]byte{10, 0, 2, 15}, [4]byte{255, 255, 255, 0}); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	var config net.ListenConfig
	door, err := config.Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", guest.AgentPort))
	if err != nil {
		return err
	}
	return guest.Serve(context.Background(), door, guest.System{Kernel: unix.ByteSliceToString(name.Release[:]), Attach: attach})
}

// load loads the modules of a folder in the order of their names.
func load(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// network brings an interface up once it is there.
func network(name string, address, mask [4]byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	set := func(what uint, change func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = change(r)
		}
		if err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, what, r)
	}
	err = until(5*time.Second, unix.ENODEV, func() error {
		return set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address[:]) })
	})
	if err != nil {
		return err
	}
	if err := set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }); err != nil {
		return err
	}
	return set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	})
}

// until tries again while the error is passing, for at most limit.
func until(limit time.Duration, passing error, try func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		if err := try(); !errors.Is(err, passing) || time.Now().After(end) {
			return err
		}
	}
}

// attach gives a stream to the virtual hub (kernel source, usbip/vhci_sysfs.c). A
// device that has just been pulled out holds its socket for a moment.
func attach(_ context.Context, slot int, fd uintptr) error {
	const fullSpeed = 2
	line := []byte(strconv.Itoa(slot) + " " + strconv.Itoa(int(fd)) + " " + strconv.Itoa(2+slot) + " " + strconv.Itoa(fullSpeed))
	err := until(10*time.Second, unix.EBUSY, func() error {
		return os.WriteFile("/sys/devices/platform/vhci_hcd.0/attach", line, 0o200)
	})
	if err != nil {
		return fmt.Errorf("socket %d of the hub: %w", slot, err)
	}
	return nil
}

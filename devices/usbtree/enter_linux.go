package usbtree

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotAllowed is returned where this user may make no mount namespace.
var ErrNotAllowed = errors.New("usbtree: this user may make no mount namespace; run as root, or allow user namespaces")

// Isolate makes cmd start in a mount namespace of its own, in which it calls
// Enter: with root's rights, or else as root of a new user namespace.
func Isolate(cmd *exec.Cmd) {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	name, err := mounts()
	if err != nil {
		name = "" // Enter refuses then
	}
	cmd.Env = append(cmd.Environ(), outer+"="+name)
}

// IsNotAllowed reports whether a command of Isolate did not start because this
// machine does not let this user make namespaces.
func IsNotAllowed(err error) bool {
	if errors.Is(err, unix.EINVAL) && os.Getuid() != 0 {
		// A kernel without user namespaces says so; from any other it is a mistake of ours.
		if _, none := os.Stat("/proc/self/ns/user"); errors.Is(none, os.ErrNotExist) {
			return true
		}
	}
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, ErrNotAllowed)
}

// kept are the nodes that an empty /dev must have.
var kept = []string{"null", "zero", "full", "random", "urandom", "tty"}

// Enter covers /sys/class/tty and /dev of this process with empty file systems
// and returns the tree under /. It must run in a process that Isolate started:
// it cannot be undone, and outside it would blind the whole machine; so it
// refuses to work in the mount namespace that Isolate was called in.
func Enter() (*Tree, error) {
	if err := apart(); err != nil {
		return nil, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("%w: make / private: %w", ErrNotAllowed, err)
	}
	hold, err := os.MkdirTemp("", "plumbline-dev-")
	if err != nil {
		return nil, fmt.Errorf("usbtree: %w", err)
	}
	defer func() { _ = os.RemoveAll(hold) }()
	if err := unix.Mount("tmpfs", hold, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return nil, fmt.Errorf("%w: mount tmpfs: %w", ErrNotAllowed, err)
	}
	if err := furnish(hold); err != nil {
		return nil, err
	}
	for _, m := range []struct{ from, to, kind string }{{hold, "/dev", ""}, {"tmpfs", "/sys/class/tty", "tmpfs"}} {
		flags := uintptr(0)
		if m.kind == "" {
			flags = unix.MS_MOVE
		}
		if err := unix.Mount(m.from, m.to, m.kind, flags, ""); err != nil {
			return nil, fmt.Errorf("%w: mount %s: %w", ErrNotAllowed, m.to, err)
		}
	}
	return &Tree{root: "/", ports: map[string]Device{}}, nil
}

// outer names the environment variable by which Isolate says which mount
// namespace the new one must not be.
const outer = "PLUMBLINE_OUTER_NAMESPACE"

// mounts names the mount namespace of this process.
func mounts() (string, error) { return os.Readlink("/proc/self/ns/mnt") }

// apart makes sure that the mounts of this process are its own.
func apart() error {
	own, err := mounts()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	if from := os.Getenv(outer); from == "" || from == own {
		return errors.New("usbtree: Enter in a mount namespace that others share; start this process with Isolate")
	}
	return nil
}

// furnish fills a new /dev: the nodes every program needs, and ptys.
func furnish(dir string) error {
	for _, name := range kept {
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, nil, 0o600); err != nil {
			return fmt.Errorf("usbtree: %w", err)
		}
		if err := unix.Mount("/dev/"+name, to, "", unix.MS_BIND, ""); err != nil && name != "tty" {
			return fmt.Errorf("%w: bind %s: %w", ErrNotAllowed, to, err)
		}
	}
	pts := filepath.Join(dir, "pts")
	if err := os.Mkdir(pts, 0o755); err != nil { //nolint:gosec // as /dev
		return fmt.Errorf("usbtree: %w", err)
	}
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("%w: mount devpts: %w", ErrNotAllowed, err)
	}
	if err := os.Symlink("pts/ptmx", filepath.Join(dir, "ptmx")); err != nil {
		return fmt.Errorf("usbtree: %w", err)
	}
	return nil
}

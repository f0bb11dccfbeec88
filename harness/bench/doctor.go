package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"plumbline/devices/lock"
	"plumbline/harness/browser"
	"plumbline/harness/record"
	"plumbline/harness/sut"
)

// Status is how a check of Doctor came out.
type Status string

// The states of a check.
const (
	OK      Status = "ok"
	Warn    Status = "warn" // figures will be worse than they could be
	Bad     Status = "bad"  // a run will fail or must not certify
	Unknown Status = "n/a"  // cannot be told on this system
)

// Check is one finding of Doctor.
type Check struct {
	Name   string
	Status Status
	Detail string
	Mend   string // what to do; "" when there is nothing to do
}

// DoctorOptions say what to look at. The zero value is useful.
type DoctorOptions struct {
	Bridged string // path of the executable; "" looks for it as a run would
	Runs    string // folder of run directories; "" means "runs"

	root    string                                            // of /proc and /sys, for tests
	ports   *lock.Dir                                         // locks of devices; nil means those of this machine
	maximum func() (uint64, bool)                             // of open files; nil means that of this process
	browser func(context.Context) (version string, err error) // nil starts the one that a run would
}

// Doctor checks whether this machine is fit to measure. Apart from an empty
// file that it makes and removes in the folder of runs it changes nothing. It
// takes less than a second, and as long as a browser takes to start.
func Doctor(ctx context.Context, opts DoctorOptions) []Check {
	if opts.Runs == "" {
		opts.Runs = "runs"
	}
	if opts.root == "" {
		opts.root = "/"
	}
	if opts.ports == nil {
		opts.ports = &lock.Dir{}
	}
	if opts.maximum == nil {
		opts.maximum = fileLimit
	}
	if opts.browser == nil {
		opts.browser = startBrowser
	}
	chromium := func(o DoctorOptions) []Check { return chromium(ctx, o) }
	var out []Check
	for _, check := range []func(DoctorOptions) []Check{
		bridged, runs, locks, space, memory, files, loopback, cores, loadCheck, clock, governor, terminals, serialPorts, deviceLocks, meddlers, latencyTimers, chromium,
	} {
		if ctx.Err() != nil {
			break
		}
		out = append(out, check(opts)...)
	}
	return out
}

func bridged(opts DoctorOptions) []Check {
	path, err := sut.FindBridged(opts.Bridged)
	if err != nil {
		return []Check{{"bridged", Bad, "the bridge that is certified by default was not found", "make build"}}
	}
	return []Check{{"bridged", OK, path, ""}}
}

// chromium checks that pages of systems can be opened.
func chromium(ctx context.Context, opts DoctorOptions) []Check {
	version, err := opts.browser(ctx)
	if err != nil {
		mend := "start it by hand, and see what it says"
		if errors.Is(err, browser.ErrNone) {
			mend = browser.Advice + ", and let it have a sandbox: user namespaces, or root"
		}
		return []Check{{"chromium", Warn, fmt.Sprintf("no system with a page of its own (viewer.page, and bridged has one) can be certified here: %v", err), mend}}
	}
	return []Check{{"chromium", OK, version + " can be started", ""}}
}

func startBrowser(ctx context.Context) (string, error) {
	b, err := browser.Start(ctx, browser.Options{})
	if err != nil {
		return "", err
	}
	return b.Version(), b.Close()
}

// runs checks that a run directory could be made.
func runs(opts DoctorOptions) []Check {
	dir := existing(opts.Runs)
	f, err := os.CreateTemp(dir, ".plumbline-doctor-")
	if err != nil {
		return []Check{{"run directories", Bad, fmt.Sprintf("cannot write into %s: %v", dir, err), "name another folder with --output-dir, or give yourself access"}}
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	return []Check{{"run directories", OK, "can be written in " + dir, ""}}
}

// existing returns the nearest folder at or above path that exists.
func existing(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "."
	}
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		parent := filepath.Dir(path)
		if parent == path {
			return path
		}
		path = parent
	}
}

// locks looks for runs that are under way and for those that were killed.
func locks(opts DoctorOptions) []Check {
	names, _ := filepath.Glob(filepath.Join(opts.Runs, "*"+lockSuffix)) // the pattern is sound
	out := []Check{}
	for _, name := range names {
		run := filepath.Base(strings.TrimSuffix(name, lockSuffix))
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		held, err := lock.TryFile(file)
		_ = file.Close()
		switch {
		case err != nil:
		case held:
			out = append(out, Check{"run under way", Warn, run + " is being written" + describe(name), "wait for it: two runs disturb each other's figures"})
		default:
			out = append(out, Check{"stale lock", Warn, run + " was killed; what it recorded is partial", "rm " + name})
		}
	}
	if len(out) == 0 {
		out = append(out, Check{"other runs", OK, "none is under way", ""})
	}
	return out
}

func files(opts DoctorOptions) []Check {
	limit, known := opts.maximum()
	c := Check{Name: "open files", Status: OK, Detail: fmt.Sprintf("up to %d for each process", limit)}
	switch {
	case !known:
		c.Status, c.Detail = Unknown, "no limit can be read on this system"
	case limit < 1024:
		c.Status, c.Mend = Bad, moreFiles
	case limit < 4096:
		c.Status, c.Mend = Warn, moreFiles
	}
	return []Check{c}
}

// moreFiles raises the limit for every later login; a shell cannot raise its own.
const moreFiles = `echo '* hard nofile 20000' | sudo tee /etc/security/limits.d/70-plumbline.conf, then log in again`

func loopback(DoctorOptions) []Check {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return []Check{{"loopback", Bad, fmt.Sprintf("cannot listen on 127.0.0.1: %v", err), "ip link set lo up"}}
	}
	_ = l.Close()
	return []Check{{"loopback", OK, "127.0.0.1 can be listened on", ""}}
}

func cores(DoctorOptions) []Check {
	n := runtime.NumCPU()
	if n < 2 {
		return []Check{{"processors", Warn, "one: generator, viewers and bridge take turns", "use a machine with two or more"}}
	}
	return []Check{{"processors", OK, fmt.Sprint(n), ""}}
}

// clockLimit is what a reading may cost; more means that it is a system call.
const clockLimit = 150 * time.Nanosecond

func clock(opts DoctorOptions) []Check {
	source, cost := record.ClockSource(), record.NewClock().ReadCost()
	c := Check{Name: "clock", Status: OK, Detail: fmt.Sprintf("%s, %v for a reading", source, cost)}
	if cost > clockLimit {
		c.Status = Bad
		c.Detail += fmt.Sprintf("; above %v the clock is read by a system call", clockLimit)
		c.Mend = fasterClock(opts.root)
	}
	return []Check{c}
}

// fasterClock is the command that chooses a clock which is read without a
// system call, where the kernel offers one.
func fasterClock(root string) string {
	const dir = "sys/devices/system/clocksource/clocksource0"
	offered, err := os.ReadFile(filepath.Join(root, dir, "available_clocksource"))
	if err == nil && slices.Contains(strings.Fields(string(offered)), "tsc") {
		return "echo tsc | sudo tee /" + dir + "/current_clocksource"
	}
	return "use another machine: the kernel offers no faster clock here"
}

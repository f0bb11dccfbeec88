package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"

	"plumbline/devices/inventory"
	"plumbline/devices/lock"
)

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// space checks the disk of the run directories: a run at 1,000 messages a
// second to 20 viewers writes about 80 MiB a minute.
func space(opts DoctorOptions) []Check {
	usage, err := disk.Usage(existing(opts.Runs))
	if err != nil {
		return []Check{{"disk", Unknown, err.Error(), ""}}
	}
	c := Check{"disk", OK, fmt.Sprintf("%d MiB free in %s", usage.Free/mebibyte, usage.Path), ""}
	switch {
	case usage.Free < 256*mebibyte:
		c.Status, c.Mend = Bad, "make room, or name another folder with --output-dir"
	case usage.Free < 2*gibibyte:
		c.Status, c.Mend = Warn, "make room before a long run"
	}
	return []Check{c}
}

func memory(DoctorOptions) []Check {
	m, err := mem.VirtualMemory()
	if err != nil {
		return []Check{{"memory", Unknown, err.Error(), ""}}
	}
	c := Check{"memory", OK, fmt.Sprintf("%d MiB available", m.Available/mebibyte), ""}
	switch {
	case m.Available < 256*mebibyte:
		c.Status, c.Mend = Bad, "end other programs: recording is kept in memory until it is judged"
	case m.Available < gibibyte:
		c.Status, c.Mend = Warn, "end other programs before a long run"
	}
	return []Check{c}
}

// busy checks whether the machine has something else to do.
func busy(average float64, processors int) Check {
	c := Check{"load", OK, fmt.Sprintf("%.2f on %d processors", average, processors), ""}
	if average > 0.5*float64(processors) {
		c.Status, c.Mend = Warn, "end other programs: what they take shows up as latency"
	}
	return c
}

// loadCheck reads the load of the last minute.
func loadCheck(DoctorOptions) []Check {
	average, err := load.Avg()
	if err != nil {
		return []Check{{"load", Unknown, "cannot be read on this system", ""}}
	}
	return []Check{busy(average.Load1, runtime.NumCPU())}
}

// governor looks at the frequency scaling of all processors.
func governor(opts DoctorOptions) []Check {
	names, _ := filepath.Glob(filepath.Join(opts.root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")) // the pattern is sound
	found := map[string]int{}
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil {
			found[strings.TrimSpace(string(data))]++
		}
	}
	fast := found["performance"]
	delete(found, "performance")
	switch {
	case fast == 0 && len(found) == 0:
		return []Check{{"frequency scaling", Unknown, "not visible here", ""}}
	case len(found) == 0:
		return []Check{{"frequency scaling", OK, "performance", ""}}
	}
	others := strings.Join(slices.Sorted(maps.Keys(found)), ", ")
	return []Check{{"frequency scaling", Warn, others + ": the clock rate follows the load, and so does the latency", "sudo cpupower frequency-set -g performance"}}
}

// terminals checks for pseudo terminals, which serial twins need.
func terminals(DoctorOptions) []Check {
	if runtime.GOOS == "windows" {
		return []Check{{"pseudo terminals", Unknown, "there are none on this system: serial twins are not available", ""}}
	}
	if !readable("/dev/ptmx") {
		return []Check{{"pseudo terminals", Warn, "/dev/ptmx cannot be opened: serial twins are not available", "mount devpts, or use real ports and recordings"}}
	}
	return []Check{{"pseudo terminals", OK, "/dev/ptmx", ""}}
}

// inventory is where the serial ports are looked for.
func (opts DoctorOptions) inventory() inventory.Inventory {
	if opts.root == "/" {
		return inventory.Inventory{}
	}
	return inventory.Inventory{Root: opts.root}
}

func serialPorts(opts DoctorOptions) []Check {
	found, err := opts.inventory().Ports()
	if err != nil {
		return []Check{{"serial ports", Unknown, err.Error(), ""}}
	}
	out := []Check{}
	usable := 0
	for _, p := range found {
		if p.Problem == "" {
			usable++
			continue
		}
		out = append(out, Check{"serial port", Warn, p.Path + ": " + p.Problem, p.Mend})
	}
	return append(out, Check{"serial ports", OK, fmt.Sprintf("%d of %d can be opened", usable, len(found)), ""})
}

// deviceLocks looks for locks of devices that nobody can use or that hinder.
func deviceLocks(opts DoctorOptions) []Check {
	states, err := opts.ports.List(context.Background())
	if err != nil {
		return []Check{{"device locks", Warn, err.Error(), "sudo rm -r " + opts.ports.Folder()}}
	}
	out := []Check{}
	held := 0
	for _, s := range states {
		switch s.Status {
		case lock.Held:
			held++
		case lock.Expired:
			out = append(out, Check{"device lock", Warn, fmt.Sprintf("%s is held %s: its process hangs", lock.Printable(s.Claim.Name), s.Claim), s.End()})
		case lock.Stale:
			out = append(out, Check{"device lock", Warn, fmt.Sprintf("%s was held %s: its process has gone", lock.Printable(s.Claim.Name), s.Claim), "rm " + s.Path})
		case lock.Foreign:
			out = append(out, Check{"device lock", Warn, s.Path + " is no lock that this user can read: who wants that device is refused", "sudo rm -r " + s.Path})
		}
	}
	return append(out, Check{"device locks", OK, fmt.Sprintf("%d locks are held; a device has one or two", held), ""})
}

// meddlers looks for programs that open every serial port that appears.
func meddlers(opts DoctorOptions) []Check {
	if runtime.GOOS != "linux" {
		return nil
	}
	mends := map[string]string{
		"ModemManager": "sudo systemctl mask --now ModemManager, or a udev rule with ENV{ID_MM_DEVICE_IGNORE}=\"1\"",
		"brltty":       "sudo apt remove brltty: it takes CH340 and CP210x adapters for Braille displays",
	}
	names, _ := filepath.Glob(filepath.Join(opts.root, "proc/[0-9]*/comm")) // the pattern is sound
	var running []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if comm := strings.TrimSpace(string(data)); err == nil && mends[comm] != "" && !slices.Contains(running, comm) {
			running = append(running, comm)
		}
	}
	slices.Sort(running)
	out := []Check{}
	for _, comm := range running {
		out = append(out, Check{comm, Warn, "runs and talks to serial ports when they appear", mends[comm]})
	}
	if len(out) == 0 {
		out = append(out, Check{"port meddlers", OK, "neither ModemManager nor brltty runs", ""})
	}
	return out
}

// latencyTimers looks at FTDI adapters, which hold bytes back for 16 ms unless
// told otherwise (FTDI application note AN232B-04).
func latencyTimers(opts DoctorOptions) []Check {
	names, _ := filepath.Glob(filepath.Join(opts.root, "sys/bus/usb-serial/devices/*/latency_timer")) // the pattern is sound
	out := []Check{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if ms := strings.TrimSpace(string(data)); err == nil && ms != "1" {
			port := filepath.Base(filepath.Dir(name))
			out = append(out, Check{"latency timer", Warn, fmt.Sprintf("%s holds bytes back for up to %s ms", port, ms), "echo 1 | sudo tee " + name})
		}
	}
	return out
}

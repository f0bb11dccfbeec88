package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/devices/lock"
	"plumbline/devices/usbtree"
	"plumbline/harness/browser"
)

func put(t *testing.T, root, path, text string) {
	t.Helper()
	name := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func find(checks []Check, name string) Check {
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{}
	}
	return checks[i]
}

func noBrowser(context.Context) (string, error) {
	return "", fmt.Errorf("browser: %w: none", browser.ErrNone)
}

func TestDoctorOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "bridged")
	put(t, dir, "bridged", "#!/bin/sh\n")
	runs := filepath.Join(dir, "not", "yet", "there")
	checks := Doctor(t.Context(), DoctorOptions{Bridged: binary, Runs: runs, browser: func(context.Context) (string, error) { return "Chrome/1", nil }})
	for _, name := range []string{"bridged", "run directories", "disk", "memory", "open files", "loopback", "processors", "load", "clock", "frequency scaling", "pseudo terminals", "serial ports", "chromium"} {
		if c := find(checks, name); c.Status == "" || c.Detail == "" {
			t.Errorf("%s is %+v", name, c)
		}
	}
	for _, c := range checks {
		if (c.Status == Bad || c.Status == Warn) && c.Mend == "" {
			t.Errorf("%s says no mend: %+v", c.Name, c)
		}
		if c.Status == OK && c.Mend != "" {
			t.Errorf("%s mends what is not broken: %+v", c.Name, c)
		}
	}
	if find(checks, "bridged").Status != OK || find(checks, "run directories").Status != OK {
		t.Errorf("checks are %+v", checks)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("doctor left %v behind, %v", entries, err)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc and /sys")
	}
	root := t.TempDir()
	put(t, root, "proc/12/comm", "ModemManager\n")
	put(t, root, "proc/13/comm", "ModemManager\n")
	put(t, root, "proc/14/comm", "brltty\n")
	put(t, root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
	put(t, root, "sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16\n")
	put(t, root, "sys/bus/usb-serial/devices/ttyUSB1/latency_timer", "1\n")
	checks := Doctor(t.Context(), DoctorOptions{Bridged: "/nonexistent", Runs: root, browser: noBrowser, root: root})
	for name, want := range map[string]Status{"ModemManager": Warn, "brltty": Warn, "chromium": Warn, "frequency scaling": Warn, "latency timer": Warn, "bridged": Bad} {
		if c := find(checks, name); c.Status != want || c.Mend == "" {
			t.Errorf("%s is %+v", name, c)
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return c.Name != "ModemManager" && c.Name != "latency timer" })); n != 2 {
		t.Errorf("%d findings, want one each", n)
	}
	put(t, root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
	if c := governor(DoctorOptions{root: root})[0]; c.Status != OK {
		t.Errorf("governor performance is %+v", c)
	}
	put(t, root, "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "ondemand\n")
	if c := governor(DoctorOptions{root: root})[0]; c.Status != Warn || !strings.Contains(c.Detail, "ondemand") {
		t.Errorf("governor of one processor is %+v", c)
	}
}

func TestDoctorFindsBusyPortsAndLocks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc and /sys")
	}
	root := t.TempDir()
	usb, err := usbtree.New(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, serial := range []string{"FREE", "HELD", "GONE"} {
		if err := usb.Plug(usbtree.Device{Node: fmt.Sprintf("ttyUSB%d", i), Target: os.DevNull, VID: "0403", PID: "6001", Serial: serial, Place: fmt.Sprintf("1-%d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, "proc/17/comm", "minicom\n")
	fd := filepath.Join(root, "proc/17/fd/3")
	if err := errors.Join(os.MkdirAll(filepath.Dir(fd), 0o755), os.Symlink(usb.Node("ttyUSB1"), fd), os.Remove(usb.Node("ttyUSB2"))); err != nil {
		t.Fatal(err)
	}
	const stale = "locks/usb%3A0403%3A6001%3AOLD.lock"
	put(t, root, stale, `{"name":"usb:0403:6001:OLD","owner":"plumbline","pid":4242,"host":"h","purpose":"device gps of a run"}`)
	checks := Doctor(t.Context(), DoctorOptions{Bridged: "/nonexistent", Runs: root, browser: noBrowser, root: root, ports: &lock.Dir{Path: filepath.Join(root, "locks")}})
	mends := map[string]string{}
	for _, c := range checks {
		if c.Name == "serial port" || c.Name == "device lock" {
			mends[c.Mend] = c.Detail
		}
	}
	for mend, detail := range map[string]string{
		"end it: kill 17": "minicom (process 17)", "plug the device in again": "it has gone", "rm " + filepath.Join(root, stale): "usb:0403:6001:OLD was held by plumbline",
	} {
		if !strings.Contains(mends[mend], detail) {
			t.Errorf("mend %q is for %q, want %q; all: %v", mend, mends[mend], detail, mends)
		}
	}
	if c := find(checks, "serial ports"); c.Detail != "1 of 3 can be opened" {
		t.Errorf("ports are %+v", c)
	}
}

func TestDoctorFindsAHungHolder(t *testing.T) {
	dir := lock.Dir{Path: t.TempDir()}
	l, err := dir.Acquire(t.Context(), "usb:0403:6001:A", "plumbline", "a run")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Release() }()
	if c := deviceLocks(DoctorOptions{ports: &dir}); len(c) != 1 || c[0].Detail != "1 locks are held; a device has one or two" {
		t.Errorf("a lock in use is %+v", c)
	}
	foreign := filepath.Join(dir.Path, "other.lock")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if c := deviceLocks(DoctorOptions{ports: &dir}); len(c) != 2 || c[0].Status != Warn || c[0].Mend != "sudo rm -r "+foreign || !strings.HasPrefix(c[1].Detail, "1 locks are held") {
		t.Errorf("beside what is no lock it is %+v", c)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	late := lock.Dir{Path: dir.Path, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	states, err := dir.List(t.Context())
	if err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	if c := deviceLocks(DoctorOptions{ports: &late}); len(c) != 2 || c[0].Status != Warn || c[0].Mend != states[0].End() {
		t.Errorf("an hour later it is %+v", c)
	}
}

func TestLowLimitsAndSlowClocks(t *testing.T) {
	for limit, want := range map[uint64]Status{256: Bad, 2048: Warn, 20000: OK} {
		c := files(DoctorOptions{maximum: func() (uint64, bool) { return limit, true }})[0]
		if c.Status != want || (want != OK) != strings.Contains(c.Mend, "nofile 20000") {
			t.Errorf("limit %d is %+v", limit, c)
		}
	}
	root := t.TempDir()
	if mend := fasterClock(root); !strings.Contains(mend, "another machine") {
		t.Errorf("mend without another clock is %q", mend)
	}
	put(t, root, "sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet tsc acpi_pm\n")
	if mend := fasterClock(root); mend != "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource" {
		t.Errorf("mend is %q", mend)
	}
}

func TestDoctorObeysContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Doctor(ctx, DoctorOptions{}); len(got) != 0 {
		t.Fatalf("checks after the end: %+v", got)
	}
}

func TestUnwritableRunsAreFound(t *testing.T) {
	if os.Getuid() == 0 {
		file := filepath.Join(t.TempDir(), "file")
		put(t, filepath.Dir(file), "file", "")
		if got := existing(filepath.Join(file, "below")); got != filepath.Dir(file) {
			t.Fatalf("a file passed for a folder: %s", got)
		}
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if c := runs(DoctorOptions{Runs: dir})[0]; c.Status != Bad || !strings.Contains(c.Detail, dir) {
		t.Fatalf("check is %+v", c)
	}
}

func TestBusyMachine(t *testing.T) {
	if c := busy(1.5, 2); c.Status != Warn || c.Mend == "" {
		t.Errorf("load 1.5 on 2 is %+v", c)
	}
	if c := busy(0.3, 2); c.Status != OK {
		t.Errorf("load 0.3 on 2 is %+v", c)
	}
}

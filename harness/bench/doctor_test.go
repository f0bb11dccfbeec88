package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
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

func TestDoctorOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "bridged")
	put(t, dir, "bridged", "#!/bin/sh\n")
	runs := filepath.Join(dir, "not", "yet", "there")
	checks := Doctor(t.Context(), DoctorOptions{Bridged: binary, Runs: runs})
	for _, name := range []string{"bridged", "run directories", "disk", "memory", "open files", "loopback", "processors", "load", "clock", "frequency scaling", "pseudo terminals", "serial ports"} {
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
	checks := Doctor(t.Context(), DoctorOptions{Bridged: "/nonexistent", Runs: root, root: root})
	for name, want := range map[string]Status{"ModemManager": Warn, "brltty": Warn, "frequency scaling": Warn, "latency timer": Warn, "bridged": Bad} {
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

package bench

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
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

func TestPortYAML(t *testing.T) {
	evil := Port{Path: "/dev/ttyUSB0", USB: true, VID: "0403", PID: "6001", Serial: "A1\n- id: x", Product: "FT232R \"UART\": ü #", Stable: "/dev/serial/by-id/usb-FTDI"}
	text := "devices:\n" + evil.YAML() + Port{Path: "COM3"}.YAML()
	var rig struct {
		Devices []struct {
			ID, Kind, Model, Serial, Port, Codec string
			Baud                                 int
		}
	}
	if err := yaml.Unmarshal([]byte(text), &rig); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(rig.Devices) != 2 {
		t.Fatalf("%d devices in\n%s", len(rig.Devices), text)
	}
	d := rig.Devices[0]
	if d.Model != evil.Product || d.Serial != evil.Serial || d.Port != evil.Stable || d.Kind != "serial" || d.Baud != 9600 || strings.ContainsAny(d.ID, " \"#/") {
		t.Errorf("device is %+v", d)
	}
	if rig.Devices[1].ID != "com3" || rig.Devices[1].Port != "COM3" {
		t.Errorf("device is %+v", rig.Devices[1])
	}
	if got := evil.Title(); !strings.Contains(got, "0403:6001") {
		t.Errorf("title is %q", got)
	}
}

func TestPortAccessAndLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes and links of Unix")
	}
	dir := t.TempDir()
	put(t, dir, "ttyX", "")
	port := filepath.Join(dir, "ttyX")
	if problem, _ := access(port); problem != "" {
		t.Errorf("an open port has the problem %q", problem)
	}
	if problem, mend := access(port + "gone"); problem != "it has gone" || mend == "" {
		t.Errorf("a missing port gave %q, %q", problem, mend)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(port, 0); err != nil {
			t.Fatal(err)
		}
		if problem, mend := access(port); !strings.Contains(problem, "no permission") || mend == "" {
			t.Errorf("a closed port gave %q, %q", problem, mend)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "by-id"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(port, filepath.Join(dir, "by-id", "usb-Maker")); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(port)
	if err != nil {
		t.Fatal(err)
	}
	if got := readLinks(filepath.Join(dir, "by-id"))[real]; got != filepath.Join(dir, "by-id", "usb-Maker") {
		t.Errorf("link is %q", got)
	}
	if got := readLinks(filepath.Join(dir, "none")); len(got) != 0 {
		t.Errorf("links of nothing are %v", got)
	}
}

func TestPortsOfThisMachine(t *testing.T) {
	found, err := Ports()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(found, func(a, b Port) int { return strings.Compare(a.Path, b.Path) }) {
		t.Errorf("not sorted: %+v", found)
	}
	for _, p := range found {
		if p.Path == "" || (p.Problem != "" && runtime.GOOS == "linux" && p.Mend == "") {
			t.Errorf("port is %+v", p)
		}
	}
}

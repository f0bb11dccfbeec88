package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/devices/inventory"
	"plumbline/harness"
	"plumbline/harness/bench"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

func TestAPanicIsAFaultOfTheHarness(t *testing.T) {
	var out, errs bytes.Buffer
	code := execute(t.Context(), streams{in: &out, out: &out, err: &errs, getenv: func(string) string { panic("seeded") }}, []string{"version"})
	if code != reports.ExitFault || !strings.Contains(errs.String(), "seeded") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}

func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send itself an interrupt on Windows")
	}
	quit := make(chan int, 1)
	ctx, stop := signals(t.Context(), func(code int) { quit <- code })
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	interrupt := func() {
		t.Helper()
		if err := self.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.After(time.Minute)
	interrupt()
	select {
	case <-ctx.Done():
	case <-deadline:
		t.Fatal("the first signal did not end the context within a minute")
	}
	if exit.Code(context.Cause(ctx)) != reports.ExitInterrupted {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	interrupt()
	select {
	case code := <-quit:
		if code != reports.ExitInterrupted {
			t.Errorf("the second signal quits with %d", code)
		}
	case <-deadline:
		t.Fatal("the second signal did not quit within a minute")
	}
}

func TestStopWithoutASignal(t *testing.T) {
	ctx, stop := signals(t.Context(), func(code int) { t.Errorf("quit with %d", code) })
	stop()
	if exit.Code(context.Cause(ctx)) != reports.ExitInterrupted && ctx.Err() == nil {
		t.Error("the context outlives stop")
	}
}

// TestJSONObeysNoTerminal: what a system calls itself is shown and not obeyed, and says
// the same to a program.
func TestJSONObeysNoTerminal(t *testing.T) {
	const name = "a\u202eb\u009bc\x7fd\x1b[31m"
	var out bytes.Buffer
	if err := writeJSON(&out, map[string]string{"name": name}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\u202e\u009b\x7f\x1b") {
		t.Errorf("%q", out.String())
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["name"] != name {
		t.Errorf("read back as %q: %v", back, err)
	}
}

func TestSeed(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "7": 7, "18446744073709551615": 1<<64 - 1} {
		if got, err := parseSeed(text); err != nil || got != want {
			t.Errorf("parseSeed(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "0x10", "seven"} {
		if _, err := parseSeed(text); exit.Code(err) != reports.ExitUsage {
			t.Errorf("parseSeed(%q): %v", text, err)
		}
	}
	a, err := parseSeed("random")
	if err != nil {
		t.Fatal(err)
	}
	for range 8 { // 8 equal draws of 32 bits: less likely than a broken machine
		if b, err := parseSeed("random"); err != nil || b != a {
			return
		}
	}
	t.Errorf("every random seed is %d", a)
}

func TestAgainIsSafeToPaste(t *testing.T) {
	f := campaignFlags{sut: "my sut.yaml", devices: []string{"serial:/dev/x?baud=9600"}, rate: 50, duration: 3 * time.Second}
	if got, want := f.again(), "plumbline run --sut 'my sut.yaml' --device 'serial:/dev/x?baud=9600' --rate 50 --duration 3s"; got != want {
		t.Errorf("again = %s, want %s", got, want)
	}
}

func TestOverride(t *testing.T) {
	base := profile.Profile{Name: "p", Loads: map[string]profile.Load{
		"steady": {Rate: 100, Window: time.Minute}, "cycles": {Cycles: 3},
	}}
	opts := spec.Options{Profile: &base}
	deviations, err := (&campaignFlags{rate: 5, duration: time.Second}).override(&opts)
	if err != nil {
		t.Fatal(err)
	}
	steady := opts.Profile.Loads["steady"]
	if steady.Rate != 5 || steady.Window != time.Second || opts.Profile.Loads["cycles"].Rate != 0 {
		t.Errorf("loads %+v", opts.Profile.Loads)
	}
	if base.Loads["steady"].Rate != 100 {
		t.Error("the loaded profile itself was changed")
	}
	if len(deviations) != 1 || !strings.Contains(deviations[0].Text, "rate 5 messages/s") {
		t.Errorf("deviations %+v", deviations)
	}
	certifying := profile.Profile{Name: "ci", Certifies: true}
	for name, c := range map[string]struct {
		p *profile.Profile
		f campaignFlags
	}{
		"a profile that certifies": {&certifying, campaignFlags{rate: 5}},
	} {
		opts := spec.Options{Profile: c.p}
		if _, err := c.f.override(&opts); exit.Code(err) != reports.ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeclare(t *testing.T) {
	cases := map[string]harness.DeviceSpec{
		"sim:gps":                   {ID: "x", Kind: harness.KindTwin, Model: "gps"},
		"host:":                     {ID: "x", Kind: harness.KindHost},
		"serial:/dev/ttyS0?id=gate": {ID: "gate", Kind: harness.KindSerial, Port: "/dev/ttyS0"},
		"serial:/dev/ttyS0?parity=even&stopBits=2&break=250ms": {ID: "x", Kind: harness.KindSerial, Port: "/dev/ttyS0",
			LineSettings: harness.LineSettings{Parity: "even", StopBits: 2, Break: 250 * time.Millisecond}},
		"replay:a.log?speed=4": {ID: "x", Kind: harness.KindRecording, Path: "a.log", Speed: 4},
	}
	for text, want := range cases {
		s, err := source.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := declare(s, "x"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("declare(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, f := range []campaignFlags{
		{devices: []string{"mqtt://127.0.0.1:1883#a"}}, {devices: []string{"sim:gps?id=a/b"}}, {devices: []string{"nosuch"}},
		{devices: []string{"sim:gps?id=a", "sim:door?id=a"}}, {rig: "missing.yaml"},
	} {
		if _, err := f.inputs(); exit.Code(err) != reports.ExitUsage {
			t.Errorf("inputs of %+v: %v", f, err)
		}
	}
}

// The first line names what takes part, not what a filter leaves out.
func TestHeadNamesWhatTakesPart(t *testing.T) {
	p, err := loadProfile("smoke")
	if err != nil {
		t.Fatal(err)
	}
	opts := spec.Options{Profile: p, Devices: []harness.DeviceSpec{{Kind: harness.KindHost}, {Kind: harness.KindRecording}}}
	for filter, want := range map[string]console.Head{
		"":         {Modes: []string{"real", "replay", "sim"}, Devices: 2},
		"sessions": {Modes: []string{"sim"}},
		"sources":  {Modes: []string{"real", "replay"}, Devices: 2},
	} {
		selected, err := spec.List(p, filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := head(opts, selected); !slices.Equal(got.Modes, want.Modes) || got.Devices != want.Devices || got.Scenarios != len(selected) {
			t.Errorf("filter %q: %+v", filter, got)
		}
	}
}

func TestEffectiveHidesTheEnvironmentOfProcesses(t *testing.T) {
	d := &sut.Descriptor{Name: "x", Start: []sut.Process{{Name: "bridge", Env: []string{"TOKEN=hunter2"}}}}
	f := campaignFlags{}
	e := f.effective(spec.Options{Profile: &profile.Profile{Name: "smoke", Source: []byte("name: smoke\n")}, SUT: sut.Options{Descriptor: d}}, true)
	dir := t.TempDir()
	if err := e.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/config/effective.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), "TOKEN=(hidden)") || !strings.Contains(string(text), "command: certify") {
		t.Errorf("effective configuration:\n%s", text)
	}
	if d.Start[0].Env[0] != "TOKEN=hunter2" {
		t.Error("the descriptor itself was changed")
	}
}

func TestShowPorts(t *testing.T) {
	var out bytes.Buffer
	if err := showPorts(&out, nil); err != nil || !strings.Contains(out.String(), "no serial port is plugged in") || !strings.HasSuffix(out.String(), "devices: []\n") {
		t.Errorf("no port: %v\n%s", err, out.String())
	}
	out.Reset()
	ports := []inventory.Port{{Path: "/dev/ttyUSB0", Select: "usb:067b:2303@1-1", USB: true, VID: "067b", PID: "2303", Unseen: "2 processes"}, {Path: "/dev/ttyS0", Problem: "no permission", Mend: "join the group dialout"}}
	if err := showPorts(&out, ports); err != nil {
		t.Fatal(err)
	}
	rig := "apiVersion: plumbline/v1\nkind: Rig\nname: lab\n" + out.String()
	found, err := harness.ParseDevices("lab.yaml", []byte(rig))
	if err != nil || len(found) != 1 || found[0].Kind != harness.KindSerial {
		t.Errorf("not ready to paste: %+v, %v\n%s", found, err, rig)
	}
	// What can be done to a device is there to be filled in, key by key.
	ports[0].USBPath = "1-1.4"
	out.Reset()
	if err := showPorts(&out, ports); err != nil {
		t.Fatal(err)
	}
	filled := regexp.MustCompile(`(?m)^    # (set|actuators|power):`).ReplaceAllString(out.String(), "    $1:")
	found, err = harness.ParseDevices("lab.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: lab\n"+filled))
	if err != nil || len(found) != 1 || len(found[0].Set) != 1 || len(found[0].Actuators) != 1 || found[0].Power == nil {
		t.Fatalf("what can be done to it is not ready to be filled in: %+v, %v\n%s", found, err, filled)
	}
	if p := found[0].Power; p.Uhubctl != "1-1" || p.Port != 4 {
		t.Errorf("its power is at %+v", p)
	}
	if !strings.Contains(out.String(), "# /dev/ttyS0: no permission (mend: join the group dialout)") {
		t.Errorf("the unusable port is missing:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "not fully known: 2 processes") {
		t.Errorf("what was not seen is missing:\n%s", out.String())
	}
	out.Reset()
	if err := showPortsJSON(&out, ports); err != nil || !strings.Contains(out.String(), `"select": "usb:067b:2303@1-1"`) {
		t.Errorf("JSON: %v\n%s", err, out.String())
	}
	out.Reset()
	if err := showPorts(&out, ports[1:]); err != nil || !strings.Contains(out.String(), "devices: []") {
		t.Errorf("only unusable ports: %v\n%s", err, out.String())
	}
}

func TestShowChecks(t *testing.T) {
	var out bytes.Buffer
	fine := []bench.Check{{Name: "clock", Status: bench.OK, Detail: "tsc"}, {Name: "governor", Status: bench.Warn, Detail: "powersave", Mend: "set performance"}}
	if err := showChecks(&out, console.Style{}, fine); err != nil {
		t.Errorf("a warning blocks: %v", err)
	}
	if !strings.Contains(out.String(), "mend: set performance") || !strings.Contains(out.String(), "doctor: 2 checks, 0 blocking, 1 warnings") {
		t.Errorf("got\n%s", out.String())
	}
	bad := append(slices.Clone(fine), bench.Check{Name: "files", Status: bench.Bad, Detail: "limit 256", Mend: "ulimit -n 20000"})
	if err := showChecks(&out, console.Style{}, bad); exit.Code(err) != reports.ExitUnavailable || !strings.Contains(err.Error(), "files") {
		t.Errorf("a blocking point: %v", err)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {spec.ErrEmpty, 3}, {spec.ErrUsage, 2}, {spec.ErrInterrupted, 130}, {spec.ErrFault, 5},
		{sut.ErrUnavailable, 4}, {sut.ErrUsage, 2}, {harness.ErrBench, 4}, {harness.ErrSpace, 4}, {harness.ErrRecording, 4}, {source.ErrSpec, 2},
	} {
		if got := exit.Code(classify(c.err)); got != c.want {
			t.Errorf("%v has exit code %d, want %d", c.err, got, c.want)
		}
	}
}

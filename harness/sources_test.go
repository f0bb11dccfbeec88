package harness_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/harness"
)

func TestCheckDevicesNamesTheMend(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cut := write("cut.jsonl", `{"format":"plumbline.recording.v1","codec":"nmea0183"}`+"\n"+`{"us":0,"raw":"$GPHDT,274.07,T*03\r\n"}`+"\n")
	empty := write("empty.log", "")
	silent := write("silent.jsonl", `{"format":"plumbline.recording.v1","codec":"nmea0183"}`+"\n"+`{"us":1000,"port":"unplugged"}`+"\n"+`{"end":1}`+"\n")
	for _, c := range []struct {
		name  string
		spec  harness.DeviceSpec
		words string
		is    error
	}{
		{"no such port", harness.DeviceSpec{ID: "a", Kind: harness.KindSerial, Port: "/dev/no-such-port"}, "/dev/no-such-port", harness.ErrBench},
		{"no such codec", harness.DeviceSpec{ID: "b", Kind: harness.KindSerial, Port: "/dev/null", Codec: "morse"}, "morse", harness.ErrBench},
		{"no such recording", harness.DeviceSpec{ID: "c", Kind: harness.KindRecording, Path: filepath.Join(dir, "absent.log")}, "absent.log", harness.ErrRecording},
		{"cut recording", harness.DeviceSpec{ID: "d", Kind: harness.KindRecording, Path: cut}, "is damaged", harness.ErrRecording},
		{"empty recording", harness.DeviceSpec{ID: "e", Kind: harness.KindSerialTwin, Path: empty}, "empty", harness.ErrRecording},
		{"recording of a silent port", harness.DeviceSpec{ID: "f", Kind: harness.KindRecording, Path: silent}, "says nothing", harness.ErrRecording},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := harness.CheckDevices(t.Context(), []harness.DeviceSpec{c.spec})
			if !errors.Is(err, c.is) || !errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), `"`+c.spec.ID+`"`) {
				t.Errorf("error is %v", err)
			}
		})
	}
	if err := harness.CheckDevices(t.Context(), harness.DefaultDevices()); err != nil {
		t.Errorf("the default devices give %v", err)
	}
}

// TestARunGoesOnWithoutOptionalDevices: without any other it does not, and it tells
// of each why.
func TestARunGoesOnWithoutOptionalDevices(t *testing.T) {
	absent := harness.DeviceSpec{ID: "gps", Kind: harness.KindSerial, Port: "/dev/no-such-port", Optional: true}
	host := harness.DeviceSpec{ID: "host", Kind: harness.KindHost}
	kept, left, err := harness.LeaveOut(t.Context(), []harness.DeviceSpec{absent, host})
	if err != nil || len(kept) != 1 || kept[0].ID != "host" || len(left) != 1 || !strings.Contains(left[0], `"gps"`) || !strings.Contains(left[0], "plumbline devices") {
		t.Errorf("kept %v, left out %q, %v", kept, left, err)
	}
	if _, _, err = harness.LeaveOut(t.Context(), []harness.DeviceSpec{absent}); !errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), "no device is left") {
		t.Errorf("nothing but an absent device gave %v", err)
	}
	absent.Optional = false
	if _, _, err = harness.LeaveOut(t.Context(), []harness.DeviceSpec{host, absent}); !errors.Is(err, harness.ErrBench) {
		t.Errorf("a required device that is absent gave %v", err)
	}
}

func TestDefaultDevicesTakeARecordingFromTheEnvironment(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "nmea", "some-neo-m8n.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("$GPHDT,274.07,T*03\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	recording := func() string {
		for _, d := range harness.DefaultDevices() {
			if d.Kind == harness.KindRecording {
				return d.Path
			}
		}
		t.Fatal("no recording among the default devices")
		return ""
	}
	t.Setenv(harness.DataVariable, root)
	if got := recording(); got != path {
		t.Errorf("the recording is %q, want %q", got, path)
	}
	t.Setenv(harness.DataVariable, "")
	if got := recording(); got != "" {
		t.Errorf("without the variable the recording is %q", got)
	}
}

func TestRigSaysWhatItIs(t *testing.T) {
	rig := newRig(t, func(c *harness.Config) {
		c.ProfilePath = "mine.yaml"
		c.Devices = []harness.DeviceSpec{{ID: "plug", Kind: harness.KindMQTT, Topic: "tele/plug/SENSOR"}, {ID: "twin", Kind: harness.KindMQTTTwin},
			{ID: "bare", Kind: harness.KindMQTTTwin, Rule: "plain"}}
	})
	if got := strings.Join(rig.Filters(), " "); got != "bench/# tele/plug/SENSOR tele/twin/SENSOR bare/voltage bare/current bare/power bare/energy" {
		t.Errorf("filters are %q", got)
	}
	if rig.ProfileArgument() != "mine.yaml" || rig.Seed() != 3 || len(rig.Devices()) != 3 {
		t.Errorf("argument %q, seed %d, devices %v", rig.ProfileArgument(), rig.Seed(), rig.Devices())
	}
	if !rig.Has("resume") || rig.Has("x-nothing") {
		t.Error("capabilities are not those of the descriptor")
	}
	if info := rig.SUTInfo(); info.Name == "" || len(info.Capabilities) == 0 {
		t.Errorf("the system is %+v", info)
	}
}

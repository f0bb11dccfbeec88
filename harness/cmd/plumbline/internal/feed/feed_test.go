package feed

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumbline/devices/simulated"
)

// presets is where the dashboard's own layouts are written.
const presets = "../../../../../bridge/dashboard/web/app/shell/presets.ts"

// matches is a topic filter without #.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i := range f {
		if len(f) != len(t) || f[i] != "+" && f[i] != t[i] {
			return false
		}
	}
	return true
}

// TestScenesFillThePresets: each filter of a preset, with its JSON pointer, finds a device of its scene that has such a value.
func TestScenesFillThePresets(t *testing.T) {
	source, err := os.ReadFile(presets)
	if err != nil {
		t.Fatal(err)
	}
	var all []Device
	for _, name := range Scenes() {
		devices, err := Scene(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, devices...)
	}
	wanted := regexp.MustCompile(`"((?:railway|plant|building)/[^"]+)/state"(?:, (?:pointer: )?"/([a-z0-9]+)")?`).FindAllStringSubmatch(string(source), -1)
	if len(wanted) < 30 {
		t.Fatalf("%d filters were found in the presets, there are more: how they are written has changed", len(wanted))
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(d Device) bool { return matches(w[1], d.Name) && has(t, d, w[2]) }) {
			t.Errorf("nobody feeds %s/state with %q", w[1], w[2])
		}
	}
}

// has tells whether a device's samples have a value of that name; "" = any.
func has(t *testing.T, d Device, value string) bool {
	t.Helper()
	twin, err := d.Twin(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range twin.Sample(1, 0).Values {
		if value == "" || v.Name == value {
			return true
		}
	}
	return false
}

func TestSceneUnknown(t *testing.T) {
	if _, err := Scene("ship"); err == nil || !strings.Contains(err.Error(), "railway, line, building") {
		t.Fatalf("error %v, want the known ones", err)
	}
}

// TestDevicesDiffer: no two devices of a kind say the same, and one says the same again.
func TestDevicesDiffer(t *testing.T) {
	a, b := Device{Name: "s/a/1", Kind: simulated.Temperature}, Device{Name: "s/a/2", Kind: simulated.Temperature}
	say := func(d Device) float64 {
		twin, err := d.Twin(7)
		if err != nil {
			t.Fatal(err)
		}
		return twin.Sample(1, 0).Values[0].Number
	}
	first := say(a)
	if first == say(b) || first != say(a) {
		t.Errorf("%v %v %v", first, say(b), say(a))
	}
}

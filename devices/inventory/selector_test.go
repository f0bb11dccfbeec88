package inventory_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"plumbline/devices/inventory"
	"plumbline/devices/usbtree"
)

func TestSelectorsAreReadBack(t *testing.T) {
	for text, want := range map[string]inventory.Selector{
		"usb:0403:6001:SN-A":           {VID: "0403", PID: "6001", Serial: "SN-A"},
		"usb:0403:6011:QU%40D%2F%3A/2": {VID: "0403", PID: "6011", Serial: "QU@D/:", Unit: "2"},
		"usb:1a86:7523@1-1.4":          {VID: "1a86", PID: "7523", USBPath: "1-1.4"},
		"usb:1a86:7523@1-1.4/0.3":      {VID: "1a86", PID: "7523", USBPath: "1-1.4", Unit: "0.3"},
		"usb:@2-1":                     {USBPath: "2-1"},
		"usb:0403:6001":                {VID: "0403", PID: "6001"},
		"/dev/ttyS0":                   {Path: "/dev/ttyS0"},
		"COM3":                         {Path: "COM3"},
	} {
		got, err := inventory.ParseSelector(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %v, written %q", text, got, err, got.String())
		}
	}
	if s, err := inventory.ParseSelector("usb:1A86:7523:AbC"); err != nil || s.String() != "usb:1a86:7523:AbC" {
		t.Errorf("upper case is %v, %v", s, err)
	}
	for text, want := range map[string]string{
		"": "empty", "usb:": "names nothing", "usb:0403": "product number is missing", "usb:043:6001": "four hexadecimal", "usb:zzzz:6001": "four hexadecimal",
		"usb:0403:6001:": "serial number is empty", "usb:0403:6001:a%": "lone %", "usb:0403:6001@": "USB place", "usb:0403:6001@hub": "USB place",
		"usb:0403:6001/x": "number of a port", "usb:0403:6001/": "number of a port",
	} {
		if _, err := inventory.ParseSelector(text); !errors.Is(err, inventory.ErrSelector) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "plumbline devices") {
			t.Errorf("%q: %v, want %q and the form", text, err, want)
		}
	}
}

func FuzzSelector(f *testing.F) {
	for _, text := range []string{"usb:0403:6001:SN-A", "usb:0403:6011:QU%40D/2", "usb:@1-1", "/dev/x", "usb:1:2:3:4/5@6"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := inventory.ParseSelector(text)
		if err != nil {
			return
		}
		if again, err := inventory.ParseSelector(s.String()); err != nil || again != s {
			t.Errorf("%q is %+v; written %q it is %+v, %v", text, s, s.String(), again, err)
		}
	})
}

func TestNumbersOfPluggingAreKnown(t *testing.T) {
	for path, want := range map[string]bool{"/dev/ttyUSB0": true, "/dev/ttyACM12": true, "/dev/ttyS0": false, "/dev/serial/by-id/usb-FTDI-if00": false, "/dev/ttyUSBx": false, "COM3": false} {
		if inventory.Numbered(path) != want {
			t.Errorf("%s: want %v", path, want)
		}
	}
}

func TestFindTakesOneOrNamesTheCandidates(t *testing.T) {
	usb, inv, _ := tree(t)
	plug(t, usb, ftdi("ttyUSB0", "SN-A", "1-1"), ftdi("ttyUSB1", "SN-B", "1-2"), ftdi("ttyUSB2", "SAME", "1-3"), ftdi("ttyUSB3", "SAME", "1-4"),
		usbtree.Device{Node: "ttyUSB4", VID: "1a86", PID: "7523", Place: "2-1"})
	find := func(text string) (inventory.Port, error) {
		s, err := inventory.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		return inv.Find(s)
	}
	for text, node := range map[string]string{
		"usb:0403:6001:SN-B": "ttyUSB1", "usb:1a86:7523": "ttyUSB4", "usb:@1-3": "ttyUSB2", "usb:0403:6001:SAME@1-4": "ttyUSB3",
		usb.Node("ttyUSB0"): "ttyUSB0",
	} {
		if p, err := find(text); err != nil || p.Path != usb.Node(node) {
			t.Errorf("%s is %+v, %v, want %s", text, p, err, node)
		}
	}
	for text, want := range map[string]struct {
		kind  error
		names []string
	}{
		"usb:0403:6001:SAME":   {inventory.ErrAmbiguous, []string{"usb:0403:6001@1-3", "usb:0403:6001@1-4"}},
		"usb:0403:6001":        {inventory.ErrAmbiguous, []string{"usb:0403:6001:SN-A", "usb:0403:6001:SN-B"}},
		"usb:0403:6001:SN-C":   {inventory.ErrAbsent, []string{"of the same kind", "usb:0403:6001:SN-A", "FT232R USB UART"}},
		"usb:10c4:ea60:1":      {inventory.ErrAbsent, []string{"usb:1a86:7523@2-1"}},
		"usb:0403:6001@2-1":    {inventory.ErrOther, []string{"usb:1a86:7523@2-1"}},
		"usb:0403:6001:SN-A/3": {inventory.ErrAbsent, []string{"usb:0403:6001:SN-A"}},
	} {
		_, err := find(text)
		if !errors.Is(err, want.kind) {
			t.Errorf("%s: %v, want %v", text, err, want.kind)
			continue
		}
		for _, name := range want.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q does not name %s", text, err, name)
			}
		}
	}
	if p, err := find("/dev/pts/17"); err != nil || p.Path != "/dev/pts/17" {
		t.Errorf("a path that the inventory does not know is %+v, %v", p, err)
	}
}

func TestYAMLIsReadyToPaste(t *testing.T) {
	ports := []inventory.Port{
		{Path: "/dev/ttyUSB0", Select: "usb:0403:6001:A1%0A", USB: true, VID: "0403", PID: "6001", Serial: "A1\n- id: x", Manufacturer: "FTDI", Product: "FT232R \"UART\": ü #",
			USBPath: "1-1", Driver: "ftdi_sio", Guess: &inventory.Guess{Codec: "linejson", Baud: 115200, Good: 7, Bytes: 900}},
		{Path: "COM3", Select: "COM3"},
		{Path: "/dev/ttyUSB1", Select: "usb:1a86:7523@1-2", USB: true, Driver: "ch341-uart", USBPath: "1-2", Guess: &inventory.Guess{}},
		{Path: "/dev/ttyUSB2", Select: "usb:1a86:7523@1-2/1", USB: true, Driver: "ch341-uart", USBPath: "1-2", Guess: &inventory.Guess{Bytes: 44}},
	}
	names := inventory.Names(ports)
	text := "devices:\n"
	for i, p := range ports {
		text += p.YAML(names[i])
	}
	var rig struct {
		Devices []struct {
			ID, Kind, Model, Serial, Port, Codec string
			Baud                                 int
		}
	}
	if err := yaml.Unmarshal([]byte(text), &rig); err != nil || len(rig.Devices) != len(ports) {
		t.Fatalf("%v\n%s", err, text)
	}
	d := rig.Devices[0]
	if d.Model != "FTDI "+ports[0].Product || d.Serial != ports[0].Serial || d.Port != ports[0].Select || d.Kind != "serial" || d.Baud != 115200 || d.Codec != "linejson" {
		t.Errorf("device is %+v", d)
	}
	if d := rig.Devices[1]; d.ID != "com3" || d.Port != "COM3" || d.Baud != 9600 {
		t.Errorf("device is %+v", d)
	}
	seen := map[string]bool{}
	for _, d := range rig.Devices {
		if strings.ContainsAny(d.ID, " \"#/+") || d.ID == "" || seen[d.ID] {
			t.Errorf("id %q", d.ID)
		}
		seen[d.ID] = true
	}
	for _, want := range []string{"# now /dev/ttyUSB0, USB 1-1, ftdi_sio", "heard 7 good frames", "not listened to", "heard nothing", "heard 44 bytes that no codec understands",
		`# power: {uhubctl: "1", port: 2}`, `# power: {relay: "SELECTOR OF THE RELAY BOARD", channel: 1}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

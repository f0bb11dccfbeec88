package source

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	cases := []struct {
		text string
		want Spec
	}{
		{"sim:temperature", Spec{Kind: "sim", What: "temperature", Seed: 1, Speed: 1}},
		{"sim:gps?seed=7&id=truck", Spec{Kind: "sim", What: "gps", Seed: 7, ID: "truck", Speed: 1}},
		{"host:", Spec{Kind: "host", Seed: 1, Speed: 1}},
		{"host:?id=me", Spec{Kind: "host", ID: "me", Seed: 1, Speed: 1}},
		{"serial:/dev/ttyUSB0?baud=9600&codec=nmea0183", Spec{Kind: "serial", What: "/dev/ttyUSB0", Baud: 9600, Codec: "nmea0183", Seed: 1, Speed: 1}},
		{"serial:usb:0403:6001:SN-A?baud=4800", Spec{Kind: "serial", What: "usb:0403:6001:SN-A", Baud: 4800, Seed: 1, Speed: 1}},
		{"serial:rfc2217://127.0.0.1:7000?baud=4800", Spec{Kind: "serial", What: "rfc2217://127.0.0.1:7000", Baud: 4800, Seed: 1, Speed: 1}},
		{"serial:COM3", Spec{Kind: "serial", What: "COM3", Seed: 1, Speed: 1}},
		{"replay:a/b.nmea?speed=10x", Spec{Kind: "replay", What: "a/b.nmea", Speed: 10, Seed: 1}},
	}
	for _, c := range cases {
		got, err := Parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseMQTTKeepsTheFilterAsTyped(t *testing.T) {
	for text, filter := range map[string]string{
		"mqtt://127.0.0.1:1883#tele/+/SENSOR": "tele/+/SENSOR",
		"mqtts://user@broker:8883#a/#":        "a/#",
		"mqtt://127.0.0.1:1883":               "#",
		"mqtt://h:1?rule=tasmota#tele/#":      "tele/#",
	} {
		s, err := Parse(text)
		if err != nil || s.What != filter {
			t.Errorf("Parse(%q): filter %q, %v; want %q", text, s.What, err, filter)
			continue
		}
		if s.URL.Fragment != "" || !strings.HasPrefix(text, s.URL.String()) || strings.Contains(text, "rule=") && s.Rule != "tasmota" {
			t.Errorf("Parse(%q): broker %q", text, s.URL)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]string{
		"temperature":                     "no kind",
		"simm:temperature":                `did you mean "sim"?`,
		"sim:":                            "nothing after",
		"serial:/dev/ttyS0?parity=evn":    `parity "evn"`,
		"serial:/dev/ttyS0?stopBits=half": "must be a whole number",
		"serial:/dev/ttyS0?dtr=up":        "must be true or false",
		"serial:/dev/ttyS0?break=1m":      "break of 1m0s",
		"serial:/dev/ttyS0?break=250":     "for example 250ms",
		"host:cpu":                        "as one device",
		"serial:?baud=9600":               "nothing after",
		"serial:usb:0403?baud=1":          "product number is missing",
		"serial:tcp://u:secret@h":         "no user or password",
		"serial:/dev/x?bauds=9600":        `did you mean "baud"?`,
		"serial:/dev/x?baud=fast":         "baud",
		"serial:/dev/x?baud=-1":           "positive",
		"sim:gps?seed=-1":                 "seed",
		"sim:gps?seed=1&seed=2":           "twice",
		"sim:gps?baud=1":                  `unknown option "baud"`,
		"replay:x?speed=0":                "above 0",
		"replay:x?speed=NaN":              "above 0",
		"replay:x?speed=1e9":              "at most",
		"mqtt:#a":                         "no broker",
		"mqtt://h:1?codec=x#a":            "unknown option",
		"mqtt://u:secret@host:1#a":        "password",
		"mqtt://u:ses secret@h":           "no address of a broker",
		"mqtt://u:ses%amsecret@h":         "no address of a broker",
		"http://u:secret@h":               "unknown kind",
		"mqtt:u:secret@h":                 "no broker",
		"mqtt://secret@h:1?codec=x#a":     "unknown option",
		"mqtt://h:1?password=secret@#a":   "unknown option \"password\"",
		"sim:gps?password=%zz&secret@=":   "unknown option \"password\"",
		"mqtt://h:1?password=a&0secret@":  "unknown option \"password\"", // whatever comes first by the alphabet
		"sim:gps?password=a&0secret@":     "unknown option \"password\"",
		"serial:/dev/x?key=a#secret@":     "unknown option \"key\"",
		"sim:gps?%zz":                     "begins no character",
		"sim:gps?id=%zz":                  "option \"id\" has a %",
		"mqtt://h:1?id=%zz#a":             "option \"id\" has a %",
	}
	for text, want := range cases {
		_, err := Parse(text)
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, want ErrSpec with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("Parse(%q) repeats the password: %v", text, err)
		}
	}
}

// What may be a secret is left out of errors, and what is none stays.
func TestDescriptionsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"sim:gps": "sim:gps", "serial:usb:0403:6001?baud=9600&codec=csv": "serial:usb:0403:6001?baud=9600&codec=csv",
		"mqtt://h?password=hunter2": "mqtt://h?password=…", "mqtt://u:hunter2@h:1#a": "mqtt:…@h:1#a", "mqtt://h?id=a&token=hun&ter2#a": "mqtt://h?id=a&token=…",
		"mqtt://h#a/?b": "mqtt://h#a/?b", "mqtt://h?": "mqtt://h?", "mqtt://h?id=a&b#c=d": "mqtt://h?id=a&b#c=d", "mqtts://h?=hunter2": "mqtts://h?=…",
	} {
		if got := masked(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range Examples() {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err == nil && (s.Kind == "" || s.Kind != "host" && s.What == "") {
			t.Errorf("Parse(%q) = %+v without an error", text, s)
		}
	})
}

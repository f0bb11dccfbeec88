package mqttrule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/mqttrule"
)

// TestTwinsOfAllFamiliesAreRead lets the twin of each family come, speak and go: its
// rule reads every number, and when it is there and gone.
func TestTwinsOfAllFamiliesAreRead(t *testing.T) {
	for _, rule := range mqttrule.All() {
		t.Run(rule.Name(), func(t *testing.T) {
			twin, err := mqttrule.NewTwin(rule.Name(), "node7", func() time.Time { return time.Unix(1_700_000_000, 0) })
			if err != nil {
				t.Fatal(err)
			}
			sample := func(n float64) devices.Sample {
				return devices.Sample{Values: []devices.Value{{Name: "temperature", Unit: "Cel", Number: n}, {Name: "humidity", Unit: "%", Number: 40}}}
			}
			var online []bool
			read := map[float64]bool{}
			hear := func(said []mqttrule.Said) {
				for _, m := range said {
					r, err := rule.Decode(m.Topic, m.Payload)
					var reject *codec.Reject
					if errors.As(err, &reject) && reject.Class != codec.Control {
						t.Errorf("%s %q: %v", m.Topic, m.Payload, err)
					}
					if r.Missing != "" {
						t.Errorf("%s: %s", m.Topic, r.Missing)
					}
					if r.Online != nil {
						online = append(online, *r.Online)
					}
					for _, v := range r.Values {
						read[v.Number] = true
					}
				}
			}
			hear(twin.Birth(sample(1)))
			for n := 2; n < 300; n++ { // over the end of Sparkplug's sequence
				hear(twin.Say(sample(float64(n))))
			}
			if will := twin.Will(); will.Topic != "" {
				hear([]mqttrule.Said{will})
				if len(online) < 2 || !online[0] || online[len(online)-1] {
					t.Errorf("it was there and gone: %v", online)
				}
			}
			for n := 2; n < 300; n++ {
				if !read[float64(n)] {
					t.Fatalf("%d was said and not read", n)
				}
			}
		})
	}
	if _, err := mqttrule.NewTwin("morse", "x", nil); err == nil || !strings.Contains(err.Error(), "known are json, plain, tasmota") {
		t.Errorf("an unknown family: %v", err)
	}
}

// TestWhereTwinsSpeak: who is to see a twin knows its topics before it says anything.
func TestWhereTwinsSpeak(t *testing.T) {
	sample := devices.Sample{Values: []devices.Value{{Name: "power", Number: 1}, {Name: "voltage", Number: 230}, {Name: "mode", Text: "eco", IsText: true}}}
	for family, want := range map[string]struct{ told, state string }{
		"json":          {"node7", ""},
		"plain":         {"node7/power node7/voltage", ""},
		"tasmota":       {"tele/node7/SENSOR", "tele/node7/LWT"},
		"shelly":        {"node7/status/sensor:0", "node7/online"},
		"zigbee2mqtt":   {"zigbee2mqtt/node7", "zigbee2mqtt/node7/availability"},
		"homeassistant": {"node7/state", "node7/availability"},
		"sparkplug-b":   {"spBv1.0/twins/NDATA/node7", "spBv1.0/twins/NBIRTH/node7 spBv1.0/twins/NDEATH/node7"},
	} {
		twin, err := mqttrule.NewTwin(family, "node7", nil)
		if err != nil {
			t.Fatal(err)
		}
		told, state := strings.Join(twin.Topics(sample), " "), strings.Join(twin.StateTopics(), " ")
		if told != want.told || state != want.state || twin.Silent() != (family == "sparkplug-b") {
			t.Errorf("%s speaks under %q and %q, want %q and %q", family, told, state, want.told, want.state)
		}
		var topics []string
		for _, m := range append(twin.Birth(sample), twin.Say(sample)...) {
			topics = append(topics, m.Topic)
		}
		if will := twin.Will().Topic; will != "" {
			topics = append(topics, will)
		}
		for _, topic := range append(twin.Topics(sample), twin.StateTopics()...) {
			if !slices.Contains(topics, topic) {
				t.Errorf("%s says nothing under %q, but under %q", family, topic, topics)
			}
		}
	}
	if families := mqttrule.Families(); len(families) != 7 {
		t.Errorf("families are %q", families)
	}
	json, err := mqttrule.NewTwin("json", "node7", nil)
	if err != nil {
		t.Fatal(err)
	}
	said := json.Say(sample)[0]
	if r, err := (mqttrule.Plain{}).Decode(said.Topic, said.Payload); err != nil || len(r.Values) != 3 {
		t.Errorf("%s is read as %+v, %v", said.Payload, r, err)
	}
}

// TestAliasesOfSparkplugStay: a source need not say all its values each time, nor in
// one order.
func TestAliasesOfSparkplugStay(t *testing.T) {
	rule, err := mqttrule.ByName("sparkplug-b")
	if err != nil {
		t.Fatal(err)
	}
	twin, err := mqttrule.NewTwin("sparkplug-b", "node7", nil)
	if err != nil {
		t.Fatal(err)
	}
	sample := func(values ...devices.Value) devices.Sample { return devices.Sample{Values: values} }
	speed, course, depth := devices.Value{Name: "speed", Number: 1}, devices.Value{Name: "course", Number: 2}, devices.Value{Name: "depth", Number: 3}
	hear := func(said []mqttrule.Said) map[string]float64 {
		read := map[string]float64{}
		for _, m := range said {
			r, err := rule.Decode(m.Topic, m.Payload)
			if err != nil || r.Missing != "" {
				t.Fatalf("%s %q: %v %s", m.Topic, m.Payload, err, r.Missing)
			}
			for _, v := range r.Values {
				read[v.Name] = v.Number
			}
		}
		return read
	}
	hear(twin.Birth(sample(speed, course)))
	for _, values := range [][]devices.Value{{course}, {course, speed}, {depth}, {depth, course}, {speed}} {
		read := hear(twin.Say(sample(values...)))
		for _, v := range values {
			if read[v.Name] != v.Number {
				t.Errorf("%+v was read as %v", values, read)
			}
		}
		for name, is := range read {
			if want := map[string]float64{"speed": 1, "course": 2, "depth": 3, "online": 1}[name]; is != want {
				t.Errorf("%+v: %s is %v", values, name, is)
			}
		}
	}
}

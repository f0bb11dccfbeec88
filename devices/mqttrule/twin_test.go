package mqttrule_test

import (
	"errors"
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
	if _, err := mqttrule.NewTwin("morse", "x", nil); err == nil {
		t.Error("an unknown family is no error")
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

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

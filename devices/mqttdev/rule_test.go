package mqttdev_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/mqttdev"
	"plumbline/devices/mqttrule"
)

// TestRulesReadWhatSensorsPublish goes over a real broker: what is retained
// teaches the rule and is no reading, an availability topic is one, and what the
// rule refuses is kept as evidence.
func TestRulesReadWhatSensorsPublish(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	b.publish(t, "homeassistant/sensor/room/config",
		`{"state_topic":"room/state","value_template":"{{ value_json.t }}","unique_id":"room_t","availability_topic":"room/lwt"}`, true)
	b.publish(t, "room/state", `{"t":1}`, true)
	d := open(t, mqttdev.Config{ID: "ha", Broker: b.url(), Filter: "#", QoS: 1, Rule: mqttrule.NewHomeAssistant()})
	// In which order retained messages come is the broker's choice: a state that
	// comes before its discovery says nothing yet.
	devicetest.Eventually(t, "both retained messages", func() bool {
		return d.Counters().Control+d.Stats().Retained == 2
	})
	b.publish(t, "room/state", `{"t":21.5}`, false)
	if s := read(t, d); s.Topic != "room/state" || len(s.Values) != 1 || s.Values[0].Name != "room_t" || s.Values[0].Number != 21.5 {
		t.Errorf("%+v", s)
	}
	b.publish(t, "room/state", `no JSON`, false)
	b.publish(t, "room/lwt", "offline", false)
	if s := read(t, d); s.Values[0].Name != "online" || s.Values[0].Number != 0 {
		t.Errorf("%+v", s)
	}
	if n := d.Counters(); n.Good != 2 || n.Damaged != 1 || d.Stats().Offline != 1 || !strings.Contains(d.Damages()[0].Reason, "room/state: the state is no JSON") {
		t.Errorf("%+v %+v %+v", n, d.Stats(), d.Damages())
	}
}

// TestLostMessagesAreCountedEach: a sequence number that jumps says how many
// messages were lost, of which there is one piece of evidence.
func TestLostMessagesAreCountedEach(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	d := open(t, mqttdev.Config{ID: "plant", Broker: b.url(), Filter: "spBv1.0/#", QoS: 1, Rule: mqttrule.NewSparkplugB()})
	b.publish(t, "spBv1.0/g/NBIRTH/n", "\x18\x00", false) // no metric, sequence number 0
	if s := read(t, d); s.Values[0].Name != "online" {
		t.Errorf("%+v", s)
	}
	b.publish(t, "spBv1.0/g/NDATA/n", "\x18\x05", false)
	devicetest.Eventually(t, "the message behind the gap", func() bool { return d.Counters().Control == 1 })
	if n := d.Counters(); n.Missing != 4 || n.Rejected() != 4 || len(d.Damages()) != 1 {
		t.Errorf("%+v %+v, want four missing", n, d.Damages())
	}
}

// TestTwinMeetsItsRule lets the twin of a Tasmota plug say that it is there, and
// publish.
func TestTwinMeetsItsRule(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	d := open(t, mqttdev.Config{ID: "plugs", Broker: b.url(), Filter: "tele/#", QoS: 1, Rule: mqttrule.Tasmota{}})
	runTwin(t, mqttdev.TwinConfig{Broker: b.url(), Name: "plug", Source: power(t, 20*time.Millisecond), Seed: 1, QoS: 1, Retry: 10 * time.Millisecond})
	until := func(topic, name string, want func(float64) bool) {
		for {
			s := read(t, d)
			for _, v := range s.Values {
				if s.Topic == topic && v.Name == name && want(v.Number) {
					return
				}
			}
		}
	}
	until("tele/plug/LWT", "online", func(n float64) bool { return n == 1 })
	until("tele/plug/SENSOR", "ENERGY.Power", func(n float64) bool { return n > 0 })
	if n := d.Counters(); n.Rejected() != 0 {
		t.Errorf("%+v %+v", n, d.Damages())
	}
}

// TestTwinsOfAllFamilies lets the twin of each family come, speak and go through a
// broker: its rule refuses nothing of what it says, and misses nothing.
func TestTwinsOfAllFamilies(t *testing.T) {
	for _, family := range mqttrule.Families() {
		t.Run(family, func(t *testing.T) {
			rule, err := mqttrule.ByName(family)
			if err != nil { // which has no rule of its own
				rule = mqttrule.Plain{}
			}
			b := startBroker(t, "127.0.0.1:0")
			d := open(t, mqttdev.Config{ID: "all", Broker: b.url(), Filter: "#", QoS: 1, Rule: rule, KeepRetained: true})
			twin, stop := runTwin(t, mqttdev.TwinConfig{Broker: b.url(), Name: "node7", Family: family, Source: power(t, 10*time.Millisecond), Seed: 1, QoS: 1, Retry: 10 * time.Millisecond})
			readings := map[string]int{}
			online := map[float64]bool{}
			until := func(enough func() bool) {
				for !enough() {
					s := read(t, d)
					for _, v := range s.Values {
						if v.Name == "online" {
							online[v.Number] = true
						} else {
							readings[s.Topic]++
						}
					}
				}
			}
			speaker, err := mqttrule.NewTwin(family, "node7", nil)
			if err != nil {
				t.Fatal(err)
			}
			until(func() bool {
				for _, topic := range twin.Topics() {
					if readings[topic] < 10 {
						return false
					}
				}
				return online[1] || speaker.Will().Topic == ""
			})
			stop()
			until(func() bool { return online[0] || speaker.Will().Topic == "" })
			// What a busy machine kept from going out in time lacks in the sequence, too.
			if n, missed := d.Counters(), twin.Stats().Missed; n.Damaged+n.Unchecked+n.Partial != 0 || n.Missing > missed {
				t.Errorf("%+v %+v; the twin missed %d", n, d.Damages(), missed)
			}
		})
	}
}

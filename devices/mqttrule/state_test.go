package mqttrule

import (
	"strings"
	"testing"
)

func TestStateTopics(t *testing.T) {
	for _, c := range []struct{ rule, topic, want string }{
		{"tasmota", "tele/plug/SENSOR", "tele/plug/LWT"},
		{"tasmota", "tele/hall/plug/STATE", "tele/hall/plug/LWT"},
		{"tasmota", "tele/plug", ""},
		{"shelly", "shellies/ht-1/sensor/temperature", "shellies/ht-1/online"},
		{"shelly", "shellyplus1-a/status/switch:0", "shellyplus1-a/online"},
		{"zigbee2mqtt", "zigbee2mqtt/hall/lamp", "zigbee2mqtt/hall/lamp/availability"},
		{"zigbee2mqtt", "zigbee2mqtt/bridge/state", ""},
		{"sparkplug-b", "spBv1.0/g/DDATA/n/d", "spBv1.0/g/NBIRTH/n spBv1.0/g/NDEATH/n spBv1.0/g/DBIRTH/n/d spBv1.0/g/DDEATH/n/d"},
		{"sparkplug-b", "spBv1.0/g/NDATA/n", "spBv1.0/g/NBIRTH/n spBv1.0/g/NDEATH/n"},
		{"sparkplug-b", "spBv1.0/STATE/h", ""},
		{"homeassistant", "home/t", ""},
		{"plain", "a/b", ""},
	} {
		rule, err := ByName(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(StateTopics(rule, c.topic), " "); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.rule, c.topic, got, c.want)
		}
	}
}

func TestState(t *testing.T) {
	for text, want := range map[string]string{
		"online": "true", "offline": "false", `[]`: "error", `{"state":"offline"}`: "false", "": "error", "maybe": "error", `{"state":3}`: "error",
	} {
		got := "error"
		if on, err := State([]byte(text)); err == nil {
			got = map[bool]string{true: "true", false: "false"}[on]
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

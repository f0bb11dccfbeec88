package main

import (
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/cmd/plumbline/internal/source"
)

// TestSensorsCanBePasted: what is printed is a rig file's list, whatever the topics.
func TestSensorsCanBePasted(t *testing.T) {
	seen := map[string]bool{}
	text := "apiVersion: plumbline/v1\nkind: Rig\nname: found\ndevices:\n"
	for _, s := range []source.Sensor{
		{Topic: "tele/plug/SENSOR", Rule: "tasmota", Values: "Power=3"}, {Topic: "tele/Plug/SENSOR", Values: "x\n- y"}, {Topic: "home/\"a\": ü", Rule: "homeassistant", Availability: "home/there"},
		{Topic: "1/2", Rule: "homeassistant"}, {Topic: "/"}, {Topic: strings.Repeat("long/", 40)}, {Topic: harness.TopicRoot + "/x"},
	} {
		text += sensorYAML(s, seen)
	}
	specs, err := harness.ParseDevices("found.yaml", []byte(text))
	if err != nil || len(specs) != 6 || specs[0].Rule != "tasmota" || specs[2].Availability != "home/there" || specs[3].Rule != "" {
		t.Errorf("%+v, %v, of\n%s", specs, err, text)
	}
}

package harness_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// TestSensorsSayThatTheyAreThere: a twin by its last will, a sensor with a rule and
// one with an availability topic by what they publish; what is no word of state
// says nothing.
func TestSensorsSayThatTheyAreThere(t *testing.T) {
	sensors := []harness.DeviceSpec{
		{ID: "plug", Kind: harness.KindMQTTTwin},
		{ID: "lamp", Kind: harness.KindMQTT, Topic: "zigbee2mqtt/lamp", Rule: "zigbee2mqtt"},
		{ID: "room", Kind: harness.KindMQTT, Topic: "home/room", Availability: "home/room/there"},
		{ID: "mute", Kind: harness.KindMQTT, Topic: "home/mute"},
		{ID: "edge", Kind: harness.KindMQTTTwin, Rule: "sparkplug-b"},
		{ID: "hass", Kind: harness.KindMQTTTwin, Rule: "homeassistant"},
		{ID: "word", Kind: harness.KindMQTTTwin, Rule: "json"},
	}
	rig := newRig(t, func(c *harness.Config) { c.Devices = sensors })
	followed := rig.Sensors()
	filters := []string{harness.AllTopics}
	for _, d := range followed {
		filters = append(filters, d.StateTopics()...)
	}
	if want := []string{harness.AllTopics, "tele/plug/LWT", "zigbee2mqtt/lamp/availability", "home/room/there",
		"spBv1.0/twins/NBIRTH/edge", "spBv1.0/twins/NDEATH/edge", "hass/availability"}; !slices.Equal(filters, want) {
		t.Fatalf("followed topics are %q, want %q", filters, want)
	}
	b := open(t, rig, harness.Plan{Name: "presence", Load: small, Sensors: followed, Filters: filters})
	wait := func(what string, device string, online bool) {
		t.Helper()
		if err := harness.Until(t.Context(), time.Minute, what, func() bool {
			return slices.ContainsFunc(b.Changes(), func(c harness.Change) bool {
				return c.Device == harness.StateDevice(device) && c.Online == online && c.At > 0
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, d := range []harness.DeviceSpec{sensors[0], sensors[4], sensors[5]} {
		if lived, err := b.Live(ctx, d, func() error { wait("the twin to come", d.ID, true); return nil }); !lived || err != nil {
			t.Fatalf("the twin %s lived: %v, %v", d.ID, lived, err)
		}
		wait("the will of the twin", d.ID, false)
	}
	if lived, err := b.Live(ctx, sensors[6], nil); lived || err != nil {
		t.Errorf("a twin that says nothing of being there was played: %v, %v", lived, err)
	}
	if lived, err := b.Live(ctx, sensors[1], nil); lived || err != nil {
		t.Errorf("a real sensor was played: %v, %v", lived, err)
	}
	hand, err := b.Hand(ctx, "bridge of sensors", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct{ topic, text string }{
		{"zigbee2mqtt/lamp/availability", `{"state":"perhaps"}`}, {"zigbee2mqtt/lamp/availability", `{"state":"offline"}`}, {"home/room/there", "online"},
	} {
		line, err := hand.Line(ctx, record.Stream{Device: "hand", Topic: m.topic, Mode: "sim", QoS: 1, Foreign: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := line.Send(ctx, load.Parcel{Raw: []byte(m.text), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	wait("the lamp to be gone", "lamp", false)
	wait("the room to be there", "room", true)
	if got := b.Changes(); len(got) != 8 {
		t.Errorf("changes are %+v", got)
	}
}

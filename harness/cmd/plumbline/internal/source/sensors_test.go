package source

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"plumbline/devices/devicetest"
	"plumbline/devices/mqttrule"
)

// TestWhatABrokerSaysIsTold: each family by its layout, states and descriptions
// for no sensor, and what fits nothing as it is.
func TestWhatABrokerSaysIsTold(t *testing.T) {
	h := newHearing()
	for _, m := range []struct{ topic, payload string }{
		{"$SYS/uptime", "12"},
		{"tele/plug/SENSOR", `{"ENERGY":{"Power":12.5}}`}, {"tele/plug/LWT", "Online"}, {"tele/plug/SENSOR", `{"ENERGY":{"Power":13,"Total":2}}`},
		{"shellies/ht/sensor/temperature", "21.5"}, {"shellies/ht/online", "true"},
		{"zigbee2mqtt/lamp", `{"state":"ON","brightness":3}`}, {"zigbee2mqtt/bridge/info", `{"version":"1"}`}, {"zigbee2mqtt/lamp/availability", `{"state":"online"}`},
		{"homeassistant/sensor/a/config", `{"uniq_id":"a","stat_t":"home/a","avty_t":"home/a/there"}`}, {"home/a", "7"}, {"home/a/there", "online"},
		{"spBv1.0/g/DDATA/n/d", ""},
		{"barn/level", "3.5"}, {"barn/picture", "\x00\xff\xfe"},
	} {
		if _, err := h.Decode(m.topic, []byte(m.payload)); err == nil {
			t.Errorf("%s became a reading of the listener", m.topic)
		}
	}
	var got []string
	for _, s := range h.sensors() {
		got = append(got, strings.Join([]string{s.Topic, s.Rule, s.Availability, s.Values}, "|"))
	}
	want := []string{
		"barn/level|||value=3.5", "home/a|homeassistant|home/a/there|a=7", "shellies/ht/sensor/temperature|shelly||sensor.temperature=21.5",
		"spBv1.0/g/DDATA/n/d|sparkplug-b||no birth yet that says what it means",
		"tele/plug/SENSOR|tasmota||ENERGY.Power=13W ENERGY.Total=2kW.h", `zigbee2mqtt/lamp|zigbee2mqtt||state="ON" brightness=3`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("sensors are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range maxSensors {
		_, _ = h.Decode("flood/"+strings.Repeat("x", i%500)+string(rune('a'+i%26)), []byte("1"))
	}
	if len(h.heard) > maxSensors || len(h.beyond) == 0 && len(h.heard) == maxSensors {
		t.Errorf("%d topics are kept, %d beyond", len(h.heard), len(h.beyond))
	}
	var _ mqttrule.Rule = h
}

// TestSensorsOfABroker finds a retained message of a real broker.
func TestSensorsOfABroker(t *testing.T) {
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})
	listener := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	if err := server.AddListener(listener); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { devicetest.CloseSoon(t, "the broker", server.Close) })
	if err := server.Publish("tele/plug/SENSOR", []byte(`{"ENERGY":{"Power":12}}`), true, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := Spec{Kind: "mqtt", What: "#", URL: &url.URL{Scheme: "mqtt", Host: listener.Address()}}
	for length := 100 * time.Millisecond; ; length *= 2 { // a busy machine is given more time
		found, more, err := Sensors(ctx, s, length)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("found %v, %v, %v", found, err, ctx.Err())
		}
		if len(found) == 1 && found[0].Rule == "tasmota" && more == 0 {
			return
		}
	}
}

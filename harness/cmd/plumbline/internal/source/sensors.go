package source

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/mqttdev"
	"plumbline/devices/mqttrule"
)

// Sensor is a topic of a broker under which something publishes readings.
type Sensor struct {
	Topic        string `json:"topic"`
	Rule         string `json:"rule,omitempty"`         // "" when no family's layout fits
	Availability string `json:"availability,omitempty"` // where it says that it is online, when the rule does not tell
	Messages     int    `json:"messages"`
	Values       string `json:"values"` // of the last message, the first few
}

// Bounds of what is kept of a broker.
const (
	maxSensors     = 1000
	maxShownValues = 4
)

// Sensors listens at the broker of s, under its filter, for length and returns the
// topics with readings, sorted, retained ones among them; more says how many topics
// beyond the bound there were. It blocks so long, and at most ten seconds more to
// connect; an end of ctx ends it early without an error.
func Sensors(ctx context.Context, s Spec, length time.Duration) (found []Sensor, more int, err error) {
	opening, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	heard := newHearing()
	d, err := mqttdev.Open(opening, mqttdev.Config{Broker: s.URL, Filter: s.What, Rule: heard})
	if err != nil {
		return nil, 0, err
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if err := d.Close(); err != nil { // ends the goroutine that hears
		return nil, 0, err
	}
	return heard.sensors(), len(heard.beyond), nil
}

// hearing is a rule that only listens: it lets every family read each message and
// keeps which understood it. It belongs to the device's decoding goroutine.
type hearing struct {
	rules  []mqttrule.Rule
	home   *mqttrule.HomeAssistant
	heard  map[string]*Sensor
	seed   maphash.Seed
	beyond map[uint64]bool // topics that are not kept, by hash: they may be long
}

var _ mqttrule.Rule = (*hearing)(nil)

// newHearing asks the families with a layout of their own first.
func newHearing() *hearing {
	home := mqttrule.NewHomeAssistant()
	return &hearing{
		rules: []mqttrule.Rule{mqttrule.NewSparkplugB(), mqttrule.Zigbee2MQTT{}, mqttrule.Tasmota{}, mqttrule.Shelly{}, home, mqttrule.Plain{}},
		home:  home, heard: map[string]*Sensor{}, beyond: map[uint64]bool{}, seed: maphash.MakeSeed(),
	}
}

// Name implements mqttrule.Rule.
func (*hearing) Name() string { return "hearing" }

// Filters implements mqttrule.Rule.
func (*hearing) Filters() []string { return []string{"#"} }

// Decode implements mqttrule.Rule: nothing is a reading to the driver.
func (h *hearing) Decode(topic string, payload []byte) (mqttrule.Reading, error) {
	taken := strings.HasPrefix(topic, "$") || strings.HasPrefix(topic, "zigbee2mqtt/bridge/") || strings.HasPrefix(topic, "homeassistant/")
	for _, rule := range h.rules {
		if !slices.ContainsFunc(rule.Filters(), func(f string) bool { return matches(f, topic) }) {
			continue
		}
		r, err := rule.Decode(topic, payload) // each of them, to learn from it
		var reject *codec.Reject
		switch {
		case taken:
		case errors.As(err, &reject) && reject.Class == codec.Unchecked && births(rule):
			taken = true // Sparkplug B without a birth: a sensor, but nobody knows yet of what
			h.keep(topic, rule, nil)
		case err != nil:
		case r.Online != nil && len(r.Values) == 1:
			taken = true // of a state, not of a value
		case len(r.Values) > 0:
			taken = true
			h.keep(topic, rule, r.Values)
		}
	}
	return mqttrule.Reading{}, &codec.Reject{Class: codec.Control, Reason: "listened to"}
}

// keep counts a message of a sensor; a birth is one of the topic of its data.
func (h *hearing) keep(topic string, rule mqttrule.Rule, values []devices.Value) {
	if births(rule) {
		topic = strings.Replace(strings.Replace(topic, "/DBIRTH/", "/DDATA/", 1), "/NBIRTH/", "/NDATA/", 1)
	}
	s := h.heard[topic]
	if s == nil {
		if len(h.heard) >= maxSensors || len(topic) > 512 {
			if len(h.beyond) < 100*maxSensors {
				h.beyond[maphash.String(h.seed, topic)] = true
			}
			return
		}
		s = &Sensor{Topic: topic}
		h.heard[topic] = s
	}
	s.Messages++
	if s.Rule = rule.Name(); s.Rule == "plain" {
		s.Rule = ""
	}
	var shown []string
	for _, v := range values[:min(len(values), maxShownValues)] {
		if text := v.Text; v.IsText {
			shown = append(shown, fmt.Sprintf("%.40s=%.40q", v.Name, text))
		} else {
			shown = append(shown, fmt.Sprintf("%.40s=%v%.10s", v.Name, v.Number, v.Unit))
		}
	}
	if len(values) > maxShownValues {
		shown = append(shown, fmt.Sprintf("%d more", len(values)-maxShownValues))
	}
	if s.Values = strings.Join(shown, " "); len(values) == 0 {
		s.Values = "no birth yet that says what it means"
	}
}

// births reports whether a family's data mean nothing without a birth.
func births(rule mqttrule.Rule) bool {
	_, is := rule.(*mqttrule.SparkplugB)
	return is
}

// sensors returns what was heard, with where Home Assistant's discovery says that
// the state comes.
func (h *hearing) sensors() []Sensor {
	out := []Sensor{}
	for _, topic := range slices.Sorted(maps.Keys(h.heard)) {
		s := *h.heard[topic]
		if s.Rule == h.home.Name() {
			s.Availability = h.home.Availability(topic)
		}
		out = append(out, s)
	}
	return out
}

// matches reports whether an MQTT topic filter takes a topic (MQTT 5.0, 4.7).
func matches(filter, topic string) bool {
	levels := strings.Split(topic, "/")
	for i, f := range strings.Split(filter, "/") {
		switch {
		case f == "#":
			return true
		case i >= len(levels) || f != "+" && f != levels[i]:
			return false
		}
	}
	return len(levels) == strings.Count(filter, "/")+1
}

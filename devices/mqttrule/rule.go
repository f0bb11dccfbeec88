// Package mqttrule understands the payloads of sensors that publish to an MQTT
// broker by themselves, by families: what is a reading, what says that a device
// is there or gone, what only describes the device, and what is damaged.
//
// A Rule is a conversation on one connection: it remembers what the devices have
// said of themselves, the births and aliases of Sparkplug B, say. It knows no
// broker; devices/mqttdev feeds it.
package mqttrule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// Reading is what a message says.
type Reading struct {
	Device string // as its topic names it
	Values []devices.Value
	// Online is set when the message says that the device is there or gone: its
	// availability topic or last will. Values then hold "online", 1 or 0, too.
	Online *bool
	// Missing says why messages must have been lost before this one; "" if none.
	Missing string
	Lost    uint64 // how many
}

// maxValues bounds the values of a reading.
const maxValues = 512

// Rule is one family. It is used by one goroutine.
type Rule interface {
	// Name is the family's name, for example "tasmota".
	Name() string
	// Filters are the topics that hold readings, availability and what else the
	// rule needs, as their makers lay them out.
	Filters() []string
	// Decode reads one message. The error is always a *codec.Reject: Control for
	// messages that describe a device or are none of its readings.
	Decode(topic string, payload []byte) (Reading, error)
}

// All makes a rule of each family that needs no settings, in the order of the
// manual.
func All() []Rule {
	return []Rule{Plain{}, Tasmota{}, Shelly{}, Zigbee2MQTT{}, NewHomeAssistant(), NewSparkplugB()}
}

// ByName makes the rule called name. The error lists what is known.
func ByName(name string) (Rule, error) {
	var names []string
	for _, r := range All() {
		if r.Name() == name {
			return r, nil
		}
		names = append(names, r.Name())
	}
	return nil, fmt.Errorf("mqttrule: no rule is called %q; known are %s", name, strings.Join(names, ", "))
}

func reject(class codec.Class, format string, args ...any) error {
	return &codec.Reject{Class: class, Reason: fmt.Sprintf(format, args...)}
}

// availability makes the reading of a device that says whether it is there.
func availability(device string, payload []byte, online, offline string) (Reading, error) {
	said := strings.TrimSpace(string(payload))
	switch said {
	case online, offline:
	default:
		return Reading{}, reject(codec.Damaged, "availability %q is neither %q nor %q", clip(said), online, offline)
	}
	return presence(device, said == online), nil
}

func presence(device string, on bool) Reading {
	n := 0.0
	if on {
		n = 1
	}
	return Reading{Device: device, Online: &on, Values: []devices.Value{{Name: "online", Number: n}}}
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// Plain takes every topic for a device that publishes a number, a text or a JSON
// object. It is what is used when no rule is named.
type Plain struct {
	Units map[string]string // UCUM symbols by value name; optional
}

// Name implements Rule.
func (Plain) Name() string { return "plain" }

// Filters implements Rule.
func (Plain) Filters() []string { return []string{"#"} }

// Decode implements Rule.
func (p Plain) Decode(topic string, payload []byte) (Reading, error) {
	values, err := codec.Payload{Units: p.Units}.Decode(payload)
	if err == nil && len(values) == 0 {
		err = reject(codec.Control, "an empty message")
	}
	return Reading{Device: topic, Values: values}, err
}

// object decodes the JSON object that some families wrap their readings in.
func object(device string, payload []byte, units map[string]string) (Reading, error) {
	values, err := codec.LineJSON{Units: units}.Decode(payload)
	if err == nil && len(values) == 0 {
		err = reject(codec.Control, "an object without a value")
	}
	return Reading{Device: device, Values: values}, err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

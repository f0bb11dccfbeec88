package mqttrule

import (
	"strings"

	"plumbline/devices/codec"
)

// Tasmota is the firmware Tasmota with its usual topics, %prefix%/%topic%/…:
// tele/X/SENSOR and tele/X/STATE hold JSON, tele/X/LWT is the last will, "Online"
// or "Offline" (Tasmota documentation, MQTT).
type Tasmota struct{}

// Name implements Rule.
func (Tasmota) Name() string { return "tasmota" }

// Filters implements Rule.
func (Tasmota) Filters() []string { return []string{"tele/#", "stat/#"} }

// Decode implements Rule.
func (Tasmota) Decode(topic string, payload []byte) (Reading, error) {
	levels := strings.Split(topic, "/")
	if len(levels) < 3 {
		return Reading{}, reject(codec.Control, "not a topic of Tasmota")
	}
	device, last := strings.Join(levels[1:len(levels)-1], "/"), levels[len(levels)-1]
	switch {
	case levels[0] == "tele" && last == "LWT":
		return availability(device, payload, "Online", "Offline")
	case levels[0] == "tele" && (last == "SENSOR" || last == "STATE"):
		return object(device, payload, map[string]string{"ENERGY.Power": "W", "ENERGY.Voltage": "V", "ENERGY.Current": "A", "ENERGY.Total": "kW.h"})
	case levels[0] == "stat" && strings.HasPrefix(last, "POWER"):
		return switched(device, strings.ToLower(last), payload)
	}
	return Reading{}, reject(codec.Control, "%s is no reading", clip(last))
}

// switched reads ON or OFF in either case.
func switched(device, name string, payload []byte) (Reading, error) {
	r, err := availability(device, []byte(strings.ToUpper(string(payload))), "ON", "OFF")
	if err != nil {
		return Reading{}, reject(codec.Damaged, "%q is neither on nor off", clip(string(payload)))
	}
	r.Online, r.Values[0].Name = nil, name
	return r, nil
}

// Shelly is the devices of Shelly in both generations: shellies/X/… with plain
// numbers and texts and shellies/X/online, "true" or "false" (Gen1 API, MQTT);
// X/status/… with JSON, X/events/rpc with notifications and X/online (Gen2 API,
// MQTT and notifications).
type Shelly struct{}

// Name implements Rule.
func (Shelly) Name() string { return "shelly" }

// Filters implements Rule: the second generation has its topics at the root.
func (Shelly) Filters() []string {
	return []string{"shellies/#", "+/online", "+/status/+", "+/events/rpc"}
}

// Decode implements Rule.
func (Shelly) Decode(topic string, payload []byte) (Reading, error) {
	levels := strings.Split(topic, "/")
	if levels[0] == "shellies" {
		levels = levels[1:]
	}
	if len(levels) < 2 {
		return Reading{}, reject(codec.Control, "not a topic of Shelly")
	}
	device, rest := levels[0], levels[1:]
	path := strings.Join(rest, ".")
	switch {
	case device == "" || rest[len(rest)-1] == "" || len(path) > 128:
		return Reading{}, reject(codec.Control, "not a topic of Shelly")
	case path == "online":
		return availability(device, payload, "true", "false")
	case path == "events.rpc":
		return notification(device, payload)
	case rest[len(rest)-1] == "command" || path == "announce" || path == "rpc":
		return Reading{}, reject(codec.Control, "%s is no reading", clip(path))
	case rest[0] == "status" && len(rest) > 1:
		path = strings.Join(rest[1:], ".")
	}
	values, err := codec.Payload{}.Decode(payload)
	if err != nil {
		return Reading{}, err
	}
	if len(values) == 0 {
		return Reading{}, reject(codec.Control, "an empty message")
	}
	for i := range values {
		if values[i].Name == "value" || values[i].Name == "text" {
			values[i].Name = path
		} else {
			values[i].Name = path + "." + values[i].Name
		}
	}
	return Reading{Device: device, Values: values}, nil
}

// notification reads NotifyStatus of the second generation: what is under params.
func notification(device string, payload []byte) (Reading, error) {
	r, err := object(device, payload, nil)
	if err != nil {
		return Reading{}, err
	}
	status := false
	kept := r.Values[:0]
	for _, v := range r.Values {
		status = status || v.Name == "method" && v.Text == "NotifyStatus"
		if name, found := strings.CutPrefix(v.Name, "params."); found && name != "ts" {
			v.Name = name
			kept = append(kept, v)
		}
	}
	if r.Values = kept; !status || len(kept) == 0 {
		return Reading{}, reject(codec.Control, "a notification without a status")
	}
	return r, nil
}

// Zigbee2MQTT is the bridge Zigbee2MQTT: zigbee2mqtt/X holds the state of a device
// as JSON, zigbee2mqtt/X/availability {"state":"online"} or the bare word, and
// zigbee2mqtt/bridge/… is about the bridge, of which bridge/state is its last will
// (Zigbee2MQTT documentation, MQTT topics and messages). Names may hold slashes.
type Zigbee2MQTT struct{}

// Name implements Rule.
func (Zigbee2MQTT) Name() string { return "zigbee2mqtt" }

// Filters implements Rule.
func (Zigbee2MQTT) Filters() []string { return []string{"zigbee2mqtt/#"} }

// Decode implements Rule.
func (Zigbee2MQTT) Decode(topic string, payload []byte) (Reading, error) {
	device, found := strings.CutPrefix(topic, "zigbee2mqtt/")
	switch {
	case !found || device == "":
		return Reading{}, reject(codec.Control, "not a topic of Zigbee2MQTT")
	case device == "bridge/state":
		return stateOf("bridge", payload)
	case strings.HasPrefix(device, "bridge/"), strings.HasSuffix(device, "/set"), strings.HasSuffix(device, "/get"):
		return Reading{}, reject(codec.Control, "%s is no reading", clip(device))
	}
	if name, is := strings.CutSuffix(device, "/availability"); is {
		return stateOf(name, payload)
	}
	if len(payload) == 0 {
		return Reading{}, reject(codec.Control, "an empty message: the device was removed")
	}
	return object(device, payload, map[string]string{"temperature": "Cel", "humidity": "%", "pressure": "hPa", "battery": "%", "power": "W", "voltage": "mV"})
}

// stateOf reads "online" or {"state":"online"}.
func stateOf(device string, payload []byte) (Reading, error) {
	if len(payload) > 0 && payload[0] == '{' {
		r, err := object(device, payload, nil)
		if err != nil {
			return Reading{}, err
		}
		payload = nil
		for _, v := range r.Values {
			if v.Name == "state" {
				payload = []byte(v.Text)
			}
		}
	}
	return availability(device, payload, "online", "offline")
}

package mqttrule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// HomeAssistant learns sensors from their discovery messages,
// homeassistant/<component>/[<node>/]<object>/config, and reads their state and
// availability topics (Home Assistant documentation, MQTT, discovery). Of value
// templates it understands "{{ value }}" and "{{ value_json.a['b'][0] }}"; the
// filters float, int, round and default are passed over. A sensor with another
// template is not read, and its messages are Control. Lists of availability
// topics and the discovery of whole devices (homeassistant/device/…) are not read;
// a topic that is both a state and an availability is the latter.
type HomeAssistant struct {
	sensors map[string]haSensor            // by discovery topic
	states  map[string]map[string]haSensor // by state topic, then discovery topic
	online  map[string]haAvailability      // by availability topic
}

// haSensor is what a discovery message declares.
type haSensor struct {
	name, unit string
	state      string
	available  string
	path       []string // into the payload; nil = the payload itself
	wrong      string   // why it cannot be read
}

type haAvailability struct{ device, on, off string }

// NewHomeAssistant returns a rule that knows no sensor yet.
func NewHomeAssistant() *HomeAssistant {
	return &HomeAssistant{sensors: map[string]haSensor{}, states: map[string]map[string]haSensor{}, online: map[string]haAvailability{}}
}

var _ Rule = (*HomeAssistant)(nil)

// Bounds of what is remembered: discovery messages come from outside.
const (
	maxSensors   = 10_000
	maxDiscovery = 16 << 10 // bytes of a message
	maxText      = 512      // bytes of a topic, a unit or a template
)

// Name implements Rule.
func (*HomeAssistant) Name() string { return "homeassistant" }

// Filters implements Rule: state topics may be anywhere.
func (*HomeAssistant) Filters() []string { return []string{"#"} }

// Decode implements Rule.
func (h *HomeAssistant) Decode(topic string, payload []byte) (Reading, error) {
	if strings.HasPrefix(topic, "homeassistant/") && strings.HasSuffix(topic, "/config") {
		return Reading{}, h.discover(topic, payload)
	}
	if topic == "homeassistant/status" {
		return availability("homeassistant", payload, "online", "offline")
	}
	if a, known := h.online[topic]; known {
		return availability(a.device, payload, a.on, a.off)
	}
	sensors, known := h.states[topic]
	if !known {
		return Reading{}, reject(codec.Control, "a topic that no discovery message names")
	}
	return readStates(topic, sensors, payload)
}

// haKeys are the keys that are read, with their short forms.
var haKeys = map[string]string{
	"stat_t": "state_topic", "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
	"avty_t": "availability_topic", "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "uniq_id": "unique_id",
}

// haRead are the texts that are kept.
var haRead = []string{"unit_of_measurement", "state_topic", "availability_topic", "value_template", "payload_available", "payload_not_available"}

// discover takes a discovery message; the error is always one, since none is a reading.
func (h *HomeAssistant) discover(topic string, payload []byte) error {
	if len(bytes.TrimSpace(payload)) == 0 {
		h.forget(topic)
		return reject(codec.Control, "the sensor was removed")
	}
	if len(payload) > maxDiscovery || len(topic) > maxText {
		return reject(codec.Damaged, "discovery: %d bytes under a topic of %d; the bounds are %d and %d", len(payload), len(topic), maxDiscovery, maxText)
	}
	var raw map[string]any
	if err := json.Unmarshal(payload, &raw); err != nil {
		return reject(codec.Damaged, "discovery: %v", err)
	}
	texts := map[string]string{}
	for key, value := range raw {
		if long, short := haKeys[key]; short {
			key = long
		}
		if text, ok := value.(string); ok {
			texts[key] = text
		}
	}
	for key, text := range texts { // "~" stands for the base topic at either end
		if base := texts["~"]; base != "" && strings.HasSuffix(key, "_topic") {
			text = strings.TrimSuffix(strings.TrimPrefix(text, "~"), "~")
			if strings.HasPrefix(texts[key], "~") {
				text = base + text
			} else if strings.HasSuffix(texts[key], "~") {
				text += base
			}
			texts[key] = text
		}
	}
	for _, key := range haRead {
		if n := len(texts[key]); n > maxText {
			return reject(codec.Damaged, "discovery: %s of %d bytes; the bound is %d", key, n, maxText)
		}
	}
	h.forget(topic) // what it said before; what is damaged says nothing
	if texts["state_topic"] == "" {
		return reject(codec.Control, "a discovery message without a state topic")
	}
	if len(h.sensors) >= maxSensors {
		return reject(codec.Damaged, "more than %d sensors", maxSensors)
	}
	h.learn(topic, texts)
	return reject(codec.Control, "a discovery message")
}

func (h *HomeAssistant) learn(topic string, texts map[string]string) {
	s := haSensor{name: texts["unique_id"], unit: texts["unit_of_measurement"], state: texts["state_topic"], available: texts["availability_topic"]}
	if s.name == "" || len(s.name) > 256 {
		levels := strings.Split(topic, "/")
		s.name = cmp.Or(clip(levels[len(levels)-2]), "sensor")
	}
	s.path, s.wrong = template(texts["value_template"])
	h.sensors[topic] = s
	if h.states[s.state] == nil {
		h.states[s.state] = map[string]haSensor{}
	}
	h.states[s.state][topic] = s
	if s.available != "" {
		a := haAvailability{s.name, "online", "offline"}
		if on := texts["payload_available"]; on != "" {
			a.on = on
		}
		if off := texts["payload_not_available"]; off != "" {
			a.off = off
		}
		h.online[s.available] = a
	}
}

// forget removes what an earlier message of the topic declared.
func (h *HomeAssistant) forget(topic string) {
	s, known := h.sensors[topic]
	if !known {
		return
	}
	delete(h.sensors, topic)
	delete(h.states[s.state], topic)
	if len(h.states[s.state]) == 0 {
		delete(h.states, s.state)
	}
	delete(h.online, s.available) // another sensor that shares it says so again when it is announced
}

var (
	expression = regexp.MustCompile(`^\{\{-?\s*(value|value_json)((?:\.[A-Za-z_]\w*|\[\s*'[^']*'\s*\]|\[\s*"[^"]*"\s*\]|\[\d+\])*)((?:\s*\|\s*(?:float|int|round|default)(?:\([^()]*\))?)*)\s*-?\}\}$`)
	step       = regexp.MustCompile(`\.([A-Za-z_]\w*)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]|\[(\d+)\]`)
)

// template reads a value template; wrong says why it cannot.
func template(text string) (path []string, wrong string) {
	if text == "" {
		return nil, ""
	}
	m := expression.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || m[1] == "value" && m[2] != "" || m[1] == "value_json" && m[2] == "" {
		return nil, fmt.Sprintf("value template %q is not understood", clip(text))
	}
	for _, s := range step.FindAllStringSubmatch(m[2], -1) {
		path = append(path, s[1]+s[2]+s[3]+s[4])
	}
	return path, ""
}

// readStates reads the values of all sensors that share a state topic, in the
// order of their names.
func readStates(topic string, sensors map[string]haSensor, payload []byte) (Reading, error) {
	r := Reading{Device: topic}
	wrong := ""
	var doc any
	for _, key := range sortedKeys(sensors) {
		s := sensors[key]
		if len(r.Values) == maxValues {
			break
		}
		switch {
		case s.wrong != "":
			wrong = s.wrong
			continue
		case s.path == nil:
			r.Values = append(r.Values, s.value(strings.TrimSpace(string(payload))))
			continue
		case doc == nil:
			if err := json.Unmarshal(payload, &doc); err != nil || doc == nil {
				return Reading{}, reject(codec.Damaged, "the state is no JSON, and a template asks for it")
			}
		}
		if found, ok := follow(doc, s.path); ok {
			r.Values = append(r.Values, s.value(found))
		}
	}
	if len(r.Values) == 0 {
		if wrong == "" {
			wrong = "nothing of what the discovery names is in the state"
		}
		return Reading{}, reject(codec.Control, "%s", wrong)
	}
	return r, nil
}

// value is a number where it is one.
func (s haSensor) value(found any) devices.Value {
	v := devices.Value{Name: s.name, Unit: s.unit}
	switch t := found.(type) {
	case float64:
		v.Number = t
	case bool:
		if t {
			v.Number = 1
		}
	case string:
		n, err := strconv.ParseFloat(t, 64)
		if err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			v.Number = n
		} else {
			v.Text, v.IsText = strings.ToValidUTF8(t, "\uFFFD"), true
		}
	}
	return v
}

// follow walks keys and indices; what it finds is a number, a text or a boolean.
func follow(doc any, path []string) (any, bool) {
	for _, key := range path {
		switch t := doc.(type) {
		case map[string]any:
			next, ok := t[key]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(t) {
				return nil, false
			}
			doc = t[i]
		default:
			return nil, false
		}
	}
	switch doc.(type) {
	case float64, bool, string:
		return doc, true
	}
	return nil, false
}

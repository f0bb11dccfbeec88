package mqttrule

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plumbline/devices"
)

// Said is one message of a twin.
type Said struct {
	Topic   string
	Payload []byte
	Retain  bool
}

// Twin speaks as a device of a family does: what it says when it comes, of each
// sample, and by its last will. It is used by one goroutine.
type Twin struct {
	family, name string
	now          func() time.Time
	seq          byte // of Sparkplug B, section 6.4.1
	born         bool
	metrics      []devices.Value // of Sparkplug B: what its birth has announced, as last said; the alias is the place, from 1
}

// jsonFamily has no rule of its own: Plain reads the object that its twin publishes.
const jsonFamily = "json"

// Families are the names of those that have a twin, in the order of the manual.
func Families() []string {
	names := []string{jsonFamily}
	for _, r := range All() {
		names = append(names, r.Name())
	}
	return names
}

// NewTwin returns the twin of a device of that name; now is the wall clock, nil =
// time.Now. The error lists the families.
func NewTwin(family, name string, now func() time.Time) (*Twin, error) {
	if !slices.Contains(Families(), family) {
		return nil, fmt.Errorf("mqttrule: no family is called %q; known are %s", family, strings.Join(Families(), ", "))
	}
	if now == nil {
		now = time.Now
	}
	return &Twin{family: family, name: name, now: now}, nil
}

// Topics are those under which it tells the readings of such samples.
func (t *Twin) Topics(s devices.Sample) []string {
	fresh := &Twin{family: t.family, name: t.name, now: t.now}
	fresh.Birth(s)
	var topics []string
	for _, m := range fresh.Say(s) {
		if !slices.Contains(topics, m.Topic) {
			topics = append(topics, m.Topic)
		}
	}
	return topics
}

// StateTopics are those under which it says that it is there, or gone; none in a
// family that says neither.
func (t *Twin) StateTopics() []string {
	will := t.Will().Topic
	switch {
	case will == "":
		return nil
	case t.family == sparkplugFamily: // a birth has a topic of its own
		return []string{birthTopic + t.name, will}
	}
	return []string{will}
}

// Silent reports whether it has nothing to say before its birth.
func (t *Twin) Silent() bool { return t.family == sparkplugFamily }

// Will is the last will that the device leaves with its broker; its topic is "" in
// a family without one.
func (t *Twin) Will() Said {
	switch t.family {
	case "tasmota":
		return Said{"tele/" + t.name + "/LWT", []byte("Offline"), true}
	case "shelly":
		return Said{t.name + "/online", []byte("false"), true}
	case "zigbee2mqtt":
		return Said{"zigbee2mqtt/" + t.name + "/availability", []byte(`{"state":"offline"}`), true}
	case "homeassistant":
		return Said{t.name + "/availability", []byte("offline"), true}
	case sparkplugFamily:
		return Said{"spBv1.0/twins/NDEATH/" + t.name, pack(-1, 0, entry("bdSeq", -1, sparkUInt64, 0)), false}
	}
	return Said{}
}

// Birth is what the device says when it has connected, with its first sample: that
// it is there, and in some families what it is going to say.
func (t *Twin) Birth(first devices.Sample) []Said {
	t.born = true
	will := t.Will()
	switch t.family {
	case "tasmota":
		return []Said{{will.Topic, []byte("Online"), true}}
	case "shelly":
		return []Said{{will.Topic, []byte("true"), true}}
	case "zigbee2mqtt":
		return []Said{{will.Topic, []byte(`{"state":"online"}`), true}}
	case "homeassistant":
		return append(t.discovery(first), Said{will.Topic, []byte("online"), true})
	case sparkplugFamily:
		t.metrics = nil
		t.learn(first)
		return t.announce()
	}
	return nil
}

// learn keeps the numbers of a sample and returns their aliases; fresh is true when a
// value is among them that no birth has announced.
func (t *Twin) learn(s devices.Sample) (aliases []int, fresh bool) {
	for _, v := range numbers(s) {
		at := slices.IndexFunc(t.metrics, func(known devices.Value) bool { return known.Name == v.Name })
		if at < 0 {
			at, fresh = len(t.metrics), true
			t.metrics = append(t.metrics, v)
		}
		t.metrics[at] = v
		aliases = append(aliases, at+1)
	}
	return aliases, fresh
}

// announce is the birth of Sparkplug B: every metric with its alias (section 6.4.20).
func (t *Twin) announce() []Said {
	t.seq = 0
	entries := [][]byte{entry("bdSeq", -1, sparkUInt64, 0)}
	for i, v := range t.metrics {
		entries = append(entries, entry(v.Name, i+1, sparkDouble, v.Number))
	}
	return []Said{{birthTopic + t.name, pack(0, t.now().UnixMilli(), entries...), false}}
}

// Say is what the device says of a sample; before its birth Sparkplug B says
// nothing, and it is born again with a value that its birth did not announce.
func (t *Twin) Say(s devices.Sample) []Said {
	values := map[string]any{}
	for _, v := range s.Values {
		values[v.Name] = v.Number
		if v.IsText {
			values[v.Name] = v.Text
		}
	}
	switch t.family {
	case "tasmota":
		return []Said{{"tele/" + t.name + "/SENSOR", object2("Time", t.now().Format("2006-01-02T15:04:05"), "SENSOR", values), false}}
	case "shelly":
		return []Said{{t.name + "/status/sensor:0", asJSON(values), false}}
	case "zigbee2mqtt":
		return []Said{{"zigbee2mqtt/" + t.name, asJSON(values), false}}
	case "homeassistant":
		return []Said{{t.name + "/state", asJSON(values), false}}
	case sparkplugFamily:
		if !t.born {
			return nil
		}
		aliases, fresh := t.learn(s)
		if fresh {
			return t.announce()
		}
		t.seq++ // 255 is followed by 0
		var entries [][]byte
		for i, v := range numbers(s) {
			entries = append(entries, entry("", aliases[i], sparkDouble, v.Number))
		}
		return []Said{{"spBv1.0/twins/NDATA/" + t.name, pack(int(t.seq), t.now().UnixMilli(), entries...), false}}
	}
	if t.family == jsonFamily {
		return []Said{{t.name, asJSON(values), false}}
	}
	var out []Said // plain
	for _, v := range numbers(s) {
		out = append(out, Said{t.name + "/" + v.Name, strconv.AppendFloat(nil, v.Number, 'g', -1, 64), false})
	}
	return out
}

// discovery announces each value (Home Assistant documentation, "MQTT discovery").
func (t *Twin) discovery(s devices.Sample) []Said {
	var out []Said
	for _, v := range numbers(s) {
		out = append(out, Said{"homeassistant/sensor/" + t.name + "/" + v.Name + "/config", asJSON(map[string]any{
			"name": v.Name, "unique_id": t.name + "_" + v.Name, "state_topic": t.name + "/state", "availability_topic": t.name + "/availability",
			"value_template": "{{ value_json." + v.Name + " }}", "unit_of_measurement": v.Unit}), true})
	}
	return out
}

// numbers are the values of a sample that are no texts.
func numbers(s devices.Sample) []devices.Value {
	var out []devices.Value
	for _, v := range s.Values {
		if !v.IsText {
			out = append(out, v)
		}
	}
	return out
}

func object2(first, text, second string, values map[string]any) []byte {
	return fmt.Appendf(nil, "{%q:%q,%q:%s}", first, text, second, asJSON(values))
}

// asJSON cannot fail: samples hold finite numbers and texts.
func asJSON(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}

const (
	sparkplugFamily = "sparkplug-b"
	birthTopic      = "spBv1.0/twins/NBIRTH/" // and the name
)

// Data types of Sparkplug B 3.0, section 6.4.16.
const (
	sparkUInt64 = 8
	sparkDouble = 10
)

// pack spells a payload of Sparkplug B: timestamp 1, metrics 2, seq 3; a seq below
// 0 is left out.
func pack(seq int, ms int64, entries ...[]byte) []byte {
	var p []byte
	if ms > 0 {
		p = binary.AppendUvarint(append(p, 1<<3), uint64(ms))
	}
	for _, e := range entries {
		p = append(binary.AppendUvarint(append(p, 2<<3|2), uint64(len(e))), e...)
	}
	if seq >= 0 {
		p = binary.AppendUvarint(append(p, 3<<3), uint64(seq))
	}
	return p
}

// entry spells a metric: name 1, alias 2, datatype 4, and its value, 11 for whole
// numbers and 13 for others. An empty name and an alias below 0 are left out.
func entry(name string, alias, datatype int, value float64) []byte {
	var p []byte
	if name != "" {
		p = append(binary.AppendUvarint(append(p, 1<<3|2), uint64(len(name))), name...)
	}
	if alias >= 0 {
		p = binary.AppendUvarint(append(p, 2<<3), uint64(alias))
	}
	p = binary.AppendUvarint(append(p, 4<<3), uint64(datatype))
	if datatype == sparkUInt64 {
		return binary.AppendUvarint(append(p, 11<<3), uint64(value))
	}
	return binary.LittleEndian.AppendUint64(append(p, 13<<3|1), math.Float64bits(value))
}

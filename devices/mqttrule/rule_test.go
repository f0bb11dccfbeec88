package mqttrule_test

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/mqttrule"
)

// says is one message and what is to be made of it.
type says struct {
	topic, payload string
	device         string
	values         string // "name=value …"; texts in quotes
	online         string // "", "on" or "off"
	class          codec.Class
	reason         string // of a rejection
	missing        string
}

// check feeds messages to a rule in order.
func check(t *testing.T, rule mqttrule.Rule, messages []says) {
	t.Helper()
	for _, m := range messages {
		r, err := rule.Decode(m.topic, []byte(m.payload))
		if m.reason != "" {
			var reject *codec.Reject
			if !errors.As(err, &reject) || reject.Class != m.class || !strings.Contains(reject.Reason, m.reason) {
				t.Errorf("%s %q: %+v, %v; want class %d, %q", m.topic, m.payload, r, err, m.class, m.reason)
			}
			continue
		}
		online := ""
		if r.Online != nil {
			online = map[bool]string{true: "on", false: "off"}[*r.Online]
		}
		if err != nil || r.Device != m.device || text(r.Values) != m.values || online != m.online || !strings.Contains(r.Missing, m.missing) || (r.Missing == "") != (m.missing == "") || (r.Lost == 0) != (m.missing == "") {
			t.Errorf("%s %q: %+v, %v; want %+v", m.topic, m.payload, r, err, m)
		}
	}
}

func text(values []devices.Value) string {
	var out []string
	for _, v := range values {
		if v.IsText {
			out = append(out, v.Name+`="`+v.Text+`"`)
		} else {
			out = append(out, v.Name+"="+strconv.FormatFloat(v.Number, 'g', -1, 64)+v.Unit)
		}
	}
	return strings.Join(out, " ")
}

func TestFamilies(t *testing.T) {
	check(t, mqttrule.Plain{}, []says{
		{topic: "a/b", payload: "21.5", device: "a/b", values: "value=21.5"},
		{topic: "a/b", payload: "", class: codec.Control, reason: "empty"},
		{topic: "a/b", payload: `{"x":`, class: codec.Damaged, reason: "cut"},
	})
	check(t, mqttrule.Tasmota{}, []says{
		{topic: "tele/plug/SENSOR", payload: `{"ENERGY":{"Power":12.5}}`, device: "plug", values: "ENERGY.Power=12.5W"},
		{topic: "tele/plug/LWT", payload: "Offline", device: "plug", values: "online=0", online: "off"},
		{topic: "tele/plug/LWT", payload: "gone", class: codec.Damaged, reason: `neither "Online" nor "Offline"`},
		{topic: "stat/plug/POWER", payload: "ON", device: "plug", values: "power=1"},
		{topic: "tele/plug/INFO1", payload: "{}", class: codec.Control, reason: "no reading"},
	})
	check(t, mqttrule.Shelly{}, []says{
		{topic: "shellies/shelly1pm-AA/relay/0/power", payload: "42.5", device: "shelly1pm-AA", values: "relay.0.power=42.5"},
		{topic: "shellies/shelly1pm-AA/relay/0", payload: "on", device: "shelly1pm-AA", values: `relay.0="on"`},
		{topic: "shellies/shelly1pm-AA/online", payload: "false", device: "shelly1pm-AA", values: "online=0", online: "off"},
		{topic: "shellyplus1pm-BB/status/switch:0", payload: `{"apower":8.5,"output":true}`, device: "shellyplus1pm-BB", values: "switch:0.apower=8.5 switch:0.output=1"},
		{topic: "shellyplus1pm-BB/events/rpc", payload: `{"src":"x","method":"NotifyStatus","params":{"ts":1.5,"switch:0":{"apower":9}}}`, device: "shellyplus1pm-BB", values: "switch:0.apower=9"},
		{topic: "shellyplus1pm-BB/events/rpc", payload: `{"method":"NotifyEvent","params":{"ts":1}}`, class: codec.Control, reason: "without a status"},
		{topic: "/", payload: "0", class: codec.Control, reason: "not a topic"},
		{topic: "shellies/announce", payload: "{}", class: codec.Control, reason: "not a topic"},
	})
	check(t, mqttrule.Zigbee2MQTT{}, []says{
		{topic: "zigbee2mqtt/living/room", payload: `{"temperature":20.5,"linkquality":90}`, device: "living/room", values: "temperature=20.5Cel linkquality=90"},
		{topic: "zigbee2mqtt/living/room/availability", payload: `{"state":"offline"}`, device: "living/room", values: "online=0", online: "off"},
		{topic: "zigbee2mqtt/bridge/state", payload: "online", device: "bridge", values: "online=1", online: "on"},
		{topic: "zigbee2mqtt/bridge/devices", payload: "[]", class: codec.Control, reason: "no reading"},
		{topic: "zigbee2mqtt/x/set", payload: "{}", class: codec.Control, reason: "no reading"},
	})
}

func TestHomeAssistantDiscovery(t *testing.T) {
	check(t, mqttrule.NewHomeAssistant(), []says{
		{topic: "room/state", payload: `{"t":21.5}`, class: codec.Control, reason: "no discovery message names"},
		{topic: "homeassistant/sensor/room/t/config", payload: `{"~":"room","stat_t":"~/state","val_tpl":"{{ value_json.t | float }}","unit_of_meas":"°C","uniq_id":"room_t","avty_t":"~/lwt","pl_avail":"up","pl_not_avail":"down"}`, class: codec.Control, reason: "a discovery message"},
		{topic: "homeassistant/sensor/room/h/config", payload: `{"state_topic":"room/state","value_template":"{{ value_json['h'][1] }}","unique_id":"room_h"}`, class: codec.Control, reason: "a discovery message"},
		{topic: "room/state", payload: `{"t":21.5,"h":[1,40]}`, device: "room/state", values: "room_h=40 room_t=21.5°C"},
		{topic: "room/state", payload: `no JSON`, class: codec.Damaged, reason: "no JSON"},
		{topic: "room/lwt", payload: "down", device: "room_t", values: "online=0", online: "off"},
		{topic: "homeassistant/sensor/room/h/config", payload: ``, class: codec.Control, reason: "removed"},
		{topic: "room/state", payload: `{"t":"22.5","h":[1,40]}`, device: "room/state", values: "room_t=22.5°C"},
		{topic: "homeassistant/binary_sensor/door/config", payload: `{"state_topic":"door"}`, class: codec.Control, reason: "a discovery message"},
		{topic: "door", payload: "ON", device: "door", values: `door="ON"`},
		{topic: "homeassistant/sensor/odd/config", payload: `{"state_topic":"odd","value_template":"{{ states('x') }}"}`, class: codec.Control, reason: "a discovery message"},
		{topic: "odd", payload: "1", class: codec.Control, reason: "is not understood"},
		{topic: "homeassistant/sensor/bad/config", payload: `{`, class: codec.Damaged, reason: "discovery"},
	})
}

// message builds a payload of Sparkplug B; seq < 0 leaves it out.
func message(seq int, metrics ...[]byte) string {
	var p []byte
	for _, m := range metrics {
		p = protowire.AppendTag(p, 2, protowire.BytesType)
		p = protowire.AppendBytes(p, m)
	}
	if seq >= 0 {
		p = protowire.AppendTag(p, 3, protowire.VarintType)
		p = protowire.AppendVarint(p, uint64(seq))
	}
	return string(p)
}

// metric builds a metric; alias < 0 and an empty name leave them out.
func metric(name string, alias, datatype int, value func(p []byte) []byte) []byte {
	var p []byte
	if name != "" {
		p = protowire.AppendTag(p, 1, protowire.BytesType)
		p = protowire.AppendString(p, name)
	}
	if alias >= 0 {
		p = protowire.AppendTag(p, 2, protowire.VarintType)
		p = protowire.AppendVarint(p, uint64(alias))
	}
	if datatype > 0 {
		p = protowire.AppendTag(p, 4, protowire.VarintType)
		p = protowire.AppendVarint(p, uint64(datatype))
	}
	return value(p)
}

func varint(field protowire.Number, n uint64) func(p []byte) []byte {
	return func(p []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(p, field, protowire.VarintType), n)
	}
}

func double(n float64) func(p []byte) []byte {
	return func(p []byte) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(p, 13, protowire.Fixed64Type), math.Float64bits(n))
	}
}

func words(s string) func(p []byte) []byte {
	return func(p []byte) []byte {
		return protowire.AppendString(protowire.AppendTag(p, 15, protowire.BytesType), s)
	}
}

func TestSparkplugB(t *testing.T) {
	minus5 := uint64(math.MaxUint32 - 4)
	born := func(bdSeq uint64) string {
		return message(0, metric("bdSeq", -1, 4, varint(11, bdSeq)), metric("load", 1, 10, double(0.5)))
	}
	check(t, mqttrule.NewSparkplugB(), []says{
		{topic: "spBv1.0/g/NDATA/n", payload: message(4, metric("", 1, 0, double(1))), class: codec.Unchecked, reason: "ask it for a rebirth"},
		{topic: "spBv1.0/g/NBIRTH/n", payload: message(3), class: codec.Damaged, reason: "is not 0"},
		{topic: "spBv1.0/g/NBIRTH/n", payload: born(7), device: "g/n", values: "online=1 load=0.5", online: "on"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(1, metric("", 2, 0, varint(10, 3))), class: codec.Unchecked, reason: "no birth of device"},
		{topic: "spBv1.0/g/DBIRTH/n/d", payload: message(2, metric("temp", 2, 3, varint(10, minus5)), metric("model", 3, 12, words("X"))), device: "g/n/d", values: `online=1 temp=-5 model="X"`, online: "on"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(3, metric("", 2, 0, varint(10, 21))), device: "g/n/d", values: "temp=21"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(3, metric("", 2, 0, varint(10, 21))), class: codec.Damaged, reason: "comes twice"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(6, metric("temp", -1, 0, varint(10, 22))), device: "g/n/d", values: "temp=22", missing: "2 messages before sequence number 6"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(7, metric("", 9, 0, varint(10, 21))), class: codec.Damaged, reason: "alias 9 was not declared"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(8, metric("", 1, 0, double(1))), class: codec.Damaged, reason: "alias 1 was not declared"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(9, metric("", 2, 0, varint(7, 1))), device: "g/n/d", values: ""},
		{topic: "spBv1.0/g/NDATA/n", payload: "\x0a\xff", class: codec.Damaged, reason: "not a payload"},
		{topic: "spBv1.0/g/NDATA/n", payload: message(-1), class: codec.Damaged, reason: "without a sequence number"},
		{topic: "spBv1.0/g/NCMD/n", payload: "", class: codec.Control, reason: "a command"},
		{topic: "spBv1.0/g/DDEATH/n/d", payload: message(10), device: "g/n/d", values: "online=0", online: "off"},
		{topic: "spBv1.0/g/NDEATH/n", payload: message(-1, metric("bdSeq", -1, 4, varint(11, 6))), class: codec.Control, reason: "an earlier life"},
		{topic: "spBv1.0/g/NDEATH/n", payload: message(-1, metric("bdSeq", -1, 4, varint(11, 7))), device: "g/n", values: "online=0", online: "off"},
		{topic: "spBv1.0/g/NDATA/n", payload: message(11, metric("", 1, 0, double(1))), class: codec.Unchecked, reason: "no birth of node"},
		{topic: "spBv1.0/g/NBIRTH/n", payload: born(8), device: "g/n", values: "online=1 load=0.5", online: "on"},
		{topic: "spBv1.0/g/XDATA/n", payload: message(1), class: codec.Damaged, reason: "does not fit"},
		{topic: "spBv1.0/STATE/host", payload: `{"online":true,"timestamp":1}`, device: "host", values: "online=1", online: "on"},
	})
}

// TestADeviceIsBornAgain: what it declared before has ended, in a birth that is
// refused, too.
func TestADeviceIsBornAgain(t *testing.T) {
	temp, model := metric("temp", 2, 3, varint(10, 20)), metric("model", 2, 12, words("X"))
	check(t, mqttrule.NewSparkplugB(), []says{
		{topic: "spBv1.0/g/NBIRTH/n", payload: message(0, metric("load", 1, 10, double(0.5))), device: "g/n", values: "online=1 load=0.5", online: "on"},
		{topic: "spBv1.0/g/DBIRTH/n/d", payload: message(1, temp), device: "g/n/d", values: "online=1 temp=20", online: "on"},
		{topic: "spBv1.0/g/DBIRTH/n/d", payload: message(2, model), device: "g/n/d", values: `online=1 model="X"`, online: "on"},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(3, metric("", 2, 0, words("Y"))), device: "g/n/d", values: `model="Y"`},
		{topic: "spBv1.0/g/DDATA/n/d", payload: message(4, metric("temp", -1, 0, varint(10, 1))), class: codec.Damaged, reason: `"temp" was not declared`},
		{topic: "spBv1.0/g/DDEATH/n/d", payload: message(5), device: "g/n/d", values: "online=0", online: "off"},
		{topic: "spBv1.0/g/DBIRTH/n/e", payload: message(6, temp), device: "g/n/e", values: "online=1 temp=20", online: "on"},
		{topic: "spBv1.0/g/DBIRTH/n/e", payload: message(7, temp, model), class: codec.Damaged, reason: "alias 2 means"},
		{topic: "spBv1.0/g/DDATA/n/e", payload: message(8, metric("", 2, 0, varint(10, 1))), class: codec.Unchecked, reason: "no birth of device"},
		{topic: "spBv1.0/g/DBIRTH/n/f", payload: message(9, metric("x", 1, 3, varint(10, 1))), class: codec.Damaged, reason: `alias 1 means "load" and "x"`},
	})
}

// TestBirthsAreBounded: births come from outside, from as many nodes and devices
// as somebody likes.
func TestBirthsAreBounded(t *testing.T) {
	rule := mqttrule.NewSparkplugB()
	var many [][]byte
	for i := range 5000 {
		many = append(many, metric("m"+strconv.Itoa(i), i, 10, double(1)))
	}
	birth := []byte(message(0, many...))
	taken := 0
	for i := range 11 {
		if _, err := rule.Decode("spBv1.0/g/NBIRTH/n"+strconv.Itoa(i), birth); err == nil {
			taken++
		} else if !strings.Contains(err.Error(), "more than 100000 metrics") {
			t.Fatal(err)
		}
	}
	if taken != 9 { // 5000 names and 5000 aliases each, one place is kept for a device
		t.Errorf("%d births were taken", taken)
	}
	for range 3 { // what is born again takes no more room, and what died none
		if _, err := rule.Decode("spBv1.0/g/NBIRTH/n0", birth); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rule.Decode("spBv1.0/g/NDEATH/n0", []byte(message(-1))); err != nil {
		t.Fatal(err)
	}
	if _, err := rule.Decode("spBv1.0/g/NBIRTH/another", birth); err != nil {
		t.Error(err)
	}
	if _, err := rule.Decode("spBv1.0/g/NBIRTH/"+strings.Repeat("n", 600), birth); err == nil || !strings.Contains(err.Error(), "the bound is 512") {
		t.Errorf("a long topic: %v", err)
	}
}

func TestDiscoveryIsBounded(t *testing.T) {
	rule := mqttrule.NewHomeAssistant()
	for topic, payload := range map[string]string{
		"homeassistant/sensor/a/config":                                `{"state_topic":"a","x":"` + strings.Repeat("x", 20_000) + `"}`,
		"homeassistant/sensor/b/config":                                `{"state_topic":"` + strings.Repeat("b", 600) + `"}`,
		"homeassistant/sensor/c/config":                                `{"state_topic":"c","unit_of_meas":"` + strings.Repeat("c", 600) + `"}`,
		"homeassistant/sensor/" + strings.Repeat("d", 600) + "/config": `{"state_topic":"d"}`,
	} {
		if _, err := rule.Decode(topic, []byte(payload)); err == nil || !strings.HasPrefix(err.Error(), "discovery: ") || !strings.Contains(err.Error(), "the bound") {
			t.Errorf("%.40s: %v", topic, err)
		}
	}
	for i := range 600 {
		_, _ = rule.Decode("homeassistant/sensor/s"+strconv.Itoa(i)+"/config", []byte(`{"state_topic":"shared"}`)) // always an error: it is no reading
	}
	if r, err := rule.Decode("shared", []byte("1")); err != nil || len(r.Values) != 512 {
		t.Errorf("%d values, %v", len(r.Values), err)
	}
	_, _ = rule.Decode("homeassistant/sensor/s0/config", []byte(`{"state_topic"`)) // damaged: what was said before holds on
	if r, err := rule.Decode("shared", []byte("1")); err != nil || r.Values[0].Name != "s0" {
		t.Errorf("after a damaged discovery: %.80v, %v", r.Values, err)
	}
}

// TestSequenceGoesRound: after 255 comes 0.
func TestSequenceGoesRound(t *testing.T) {
	rule := mqttrule.NewSparkplugB()
	if _, err := rule.Decode("spBv1.0/g/NBIRTH/n", []byte(message(0, metric("x", 1, 10, double(0))))); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 600; i++ {
		r, err := rule.Decode("spBv1.0/g/NDATA/n", []byte(message(i%256, metric("", 1, 0, double(float64(i))))))
		if err != nil || r.Missing != "" || r.Values[0].Number != float64(i) {
			t.Fatalf("message %d: %+v, %v", i, r, err)
		}
	}
}

func TestByName(t *testing.T) {
	for _, r := range mqttrule.All() {
		got, err := mqttrule.ByName(r.Name())
		if err != nil || got.Name() != r.Name() || len(r.Filters()) == 0 {
			t.Errorf("%s: %v, %v", r.Name(), got, err)
		}
	}
	if _, err := mqttrule.ByName("knx"); err == nil || !strings.Contains(err.Error(), "sparkplug-b") {
		t.Errorf("%v", err)
	}
}

// FuzzRules lets any message through each rule, twice: the second meets what the
// first has taught.
func FuzzRules(f *testing.F) {
	f.Add("spBv1.0/g/NBIRTH/n", []byte(message(0, metric("x", 1, 10, double(0)))), "spBv1.0/g/NDATA/n", []byte(message(1, metric("", 1, 0, double(2)))))
	f.Add("homeassistant/sensor/a/config", []byte(`{"state_topic":"a","value_template":"{{ value_json.a[0] }}"}`), "a", []byte(`{"a":[1]}`))
	f.Add("tele/a/SENSOR", []byte(`{"a":1}`), "zigbee2mqtt/a/availability", []byte("online"))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, topic2 string, payload2 []byte) {
		for _, rule := range mqttrule.All() {
			for _, m := range []struct {
				topic   string
				payload []byte
			}{{topic, payload}, {topic2, payload2}} {
				r, err := rule.Decode(m.topic, m.payload)
				var reject *codec.Reject
				if err != nil && !errors.As(err, &reject) {
					t.Fatalf("%s: %v is no *Reject", rule.Name(), err)
				}
				for _, v := range r.Values {
					if err == nil && (v.Name == "" || math.IsNaN(v.Number) || math.IsInf(v.Number, 0)) {
						t.Fatalf("%s: %+v", rule.Name(), v)
					}
				}
			}
		}
	})
}

package codec_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"plumbline/devices"
	"plumbline/devices/codec"
)

func TestCRC16CheckValue(t *testing.T) {
	if got := codec.CRC16([]byte("123456789")); got != 0x29B1 {
		t.Errorf("CRC %04X, want 29B1 (the check value of CRC-16/CCITT-FALSE)", got)
	}
}

func TestLineJSONFlattens(t *testing.T) {
	c := codec.LineJSON{Units: map[string]string{"bme.temp": "Cel"}}
	got, err := c.Decode([]byte(`{"id":"node1","seq":7,"bme":{"temp":21.5,"ok":true},"axis":[1,-2.5],"none":null,"off":false}` + "\r"))
	if err != nil {
		t.Fatal(err)
	}
	want := []devices.Value{
		{Name: "id", Text: "node1", IsText: true}, {Name: "seq", Number: 7},
		{Name: "bme.temp", Unit: "Cel", Number: 21.5}, {Name: "bme.ok", Number: 1},
		{Name: "axis.0", Number: 1}, {Name: "axis.1", Number: -2.5}, {Name: "off", Number: 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("values\n%+v, want\n%+v", got, want)
	}
}

func TestLineJSONRejects(t *testing.T) {
	good := `{"a":1}`
	withCRC := fmt.Sprintf("%s*%04X", good, codec.CRC16([]byte(good)))
	for _, c := range []struct {
		name   string
		crc    bool
		line   string
		class  codec.Class
		reason string
	}{
		{"no object", false, "Booting v1.2", codec.Unchecked, "not a JSON object"},
		{"array", false, "[1,2]", codec.Unchecked, "not a JSON object"},
		{"cut", false, `{"a":1,"b":`, codec.Damaged, "cut"},
		{"glued", false, `{"a":1}{"b":2}`, codec.Damaged, "after the JSON object"},
		{"junk inside", false, `{"a":1,#"b":2}`, codec.Damaged, "JSON"},
		{"no CRC where asked", true, good, codec.Unchecked, "no CRC"},
		{"wrong CRC though not asked", false, good + "*0000", codec.Damaged, "CRC 0000, computed"},
		{"digit flipped under CRC", true, strings.Replace(withCRC, "1", "3", 1), codec.Damaged, "computed"},
		{"CRC is no hex", true, good + "*12G4", codec.Damaged, "not hexadecimal"},
		{"number too large", false, `{"a":1e999}`, codec.Damaged, "out of range"},
		{"too deep", false, strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), codec.Damaged, "deeper than"},
		{"too many", false, `{"a":[` + strings.Repeat("1,", 600) + "1]}", codec.Damaged, "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := codec.LineJSON{CRC: c.crc}.Decode([]byte(c.line))
			var r *codec.Reject
			if !errors.As(err, &r) {
				t.Fatalf("got %v, %v; want a *Reject", v, err)
			}
			if r.Class != c.class || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("rejected as %d %q, want %d %q", r.Class, r.Reason, c.class, c.reason)
			}
		})
	}
	if _, err := (codec.LineJSON{CRC: true}).Decode([]byte(withCRC)); err != nil {
		t.Errorf("a line with its CRC: %v", err)
	}
}

func TestAppendLineJSONRoundTrip(t *testing.T) {
	values := []devices.Value{{Name: "t \"0\"", Number: 21.25}, {Name: "s", Text: "a\nb\u2028", IsText: true}, {Name: "nan", Number: math.NaN()}}
	line := codec.AppendLineJSON(nil, "node", 3, values)
	if strings.Count(string(line), "\n") != 1 {
		t.Fatalf("%q holds more than one line", line)
	}
	got, err := codec.LineJSON{CRC: true}.Decode(line[:len(line)-2])
	if err != nil {
		t.Fatal(err)
	}
	want := append([]devices.Value{{Name: "id", Text: "node", IsText: true}, {Name: "seq", Number: 3}}, values[:2]...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, want %+v", got, want)
	}
}

func TestPayload(t *testing.T) {
	for _, c := range []struct {
		payload string
		name    string
		number  float64
		text    string
		class   codec.Class
		bad     bool
	}{
		{payload: "21.5", name: "value", number: 21.5},
		{payload: `{"ENERGY":{"Power":12}}`, name: "ENERGY.Power", number: 12},
		{payload: "ON", name: "text", text: "ON"},
		{payload: "NaN", name: "text", text: "NaN"},
		{payload: `{"a":`, bad: true, class: codec.Damaged},
		{payload: "\xff\xfe", bad: true, class: codec.Unchecked},
	} {
		values, err := codec.Payload{}.Decode([]byte(c.payload))
		if c.bad {
			var r *codec.Reject
			if !errors.As(err, &r) || r.Class != c.class {
				t.Errorf("%q: %v, want a rejection of class %d", c.payload, err, c.class)
			}
			continue
		}
		v, ok := find(values, c.name)
		if err != nil || !ok || v.Number != c.number || v.Text != c.text {
			t.Errorf("%q: %+v, %v", c.payload, values, err)
		}
	}
	if v, err := (codec.Payload{}).Decode(nil); v != nil || err != nil {
		t.Errorf("empty payload: %v, %v; want nothing", v, err)
	}
}

func TestByName(t *testing.T) {
	for _, name := range []string{"nmea0183", "linejson", "linejson+crc", "payload"} {
		c, err := codec.ByName(name)
		if err != nil || c.Name() != name {
			t.Errorf("ByName(%q) = %v, %v", name, c, err)
		}
	}
	if _, err := codec.ByName("morse"); err == nil || !strings.Contains(err.Error(), "known are nmea0183") {
		t.Errorf("ByName(morse): %v, want an error that names what is known", err)
	}
}

// TestHostileObjectsCostNoMoreThanTheirSize: a long name over many elements
// would be copied into each of their names.
func TestHostileObjectsCostNoMoreThanTheirSize(t *testing.T) {
	long := `{"` + strings.Repeat("x", 100_000) + `":[` + strings.Repeat("0,", 500) + `0]}`
	for name, body := range map[string]string{"long name": long, "long path": strings.Repeat(`{"`+strings.Repeat("x", 60)+`":`, 6) + "1" + strings.Repeat("}", 6),
		"no name": `{"":1}`} {
		values, err := codec.Payload{}.Decode([]byte(body))
		var r *codec.Reject
		if !errors.As(err, &r) || r.Class != codec.Damaged || values != nil {
			t.Errorf("%s: %d values, %v; want a rejection", name, len(values), err)
		}
	}
	if v, err := (codec.Payload{}).Decode([]byte(`{"` + strings.Repeat("x", 250) + `":{"y":1}}`)); err != nil || len(v) != 1 {
		t.Errorf("a name of 252 bytes: %v, %v", v, err)
	}
}

// FuzzLineJSON checks that nothing panics and that bounds and finiteness hold.
func FuzzLineJSON(f *testing.F) {
	f.Add([]byte(`{"id":"node1","seq":7,"t0":21.500}*B1F2`))
	f.Add([]byte(`{"a":{"b":[1,2,{"c":null}]}}`))
	f.Add([]byte(`{"a":1e400}`))
	f.Add([]byte(`{"a":1}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, c := range []codec.Codec{codec.LineJSON{}, codec.LineJSON{CRC: true}, codec.Payload{}} {
			values, err := c.Decode(line)
			var r *codec.Reject
			if err != nil && !errors.As(err, &r) {
				t.Fatalf("%s: %v is no *Reject", c.Name(), err)
			}
			if len(values) > 512 {
				t.Fatalf("%s: %d values", c.Name(), len(values))
			}
			for _, v := range values {
				if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
					t.Fatalf("%s: %+v", c.Name(), v)
				}
			}
		}
	})
}

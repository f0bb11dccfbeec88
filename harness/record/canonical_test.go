package record

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"plumbline/devices"
)

// rewritten holds one payload as programs of other languages write it anew.
var rewritten = []devices.Value{
	{Name: "temp", Number: 1e21}, {Name: "b", Number: 0.0000125}, {Name: "a", Number: 21}, {Name: "zero", Number: math.Copysign(0, -1)},
	{Name: "state", Text: "\u00fc \"x\"\n/", IsText: true}, {Name: "bad", Number: math.NaN()}, {Name: "2", Number: 100000000}, {Name: "10", Number: -2.5e-7},
}

func TestRestore(t *testing.T) {
	original := Encode("0a1b2c3d", "press-7", 12, rewritten)
	if p, err := Parse(original); err != nil || p.Seq != 12 {
		t.Fatalf("%+v, %v", p, err)
	}
	var value map[string]any
	if err := json.Unmarshal(original, &value); err != nil {
		t.Fatal(err)
	}
	crc := value["crc"].(string)
	sorted, err := json.MarshalIndent(value, "", "  ") // members in another order, HTML escapes, white space
	if err != nil {
		t.Fatal(err)
	}
	javascript := `{"run":"0a1b2c3d","dev":"press-7","seq":12,"v":{"2":100000000,"10":-2.5e-7,"a":21,"b":0.0000125,"bad":null,` +
		`"state":"ü \"x\"\n/","temp":1e+21,"zero":0},"crc":"` + crc + `"}`
	python := `{"run": "0a1b2c3d", "dev": "press-7", "seq": 12.0, "v": {"10": -2.5e-07, "2": 100000000.0, "a": 21.0, "b": 1.25e-05, ` +
		`"bad": null, "state": "\u00fc \"x\"\n\/", "temp": 1000000000000000000000.0, "zero": -0.0}, "crc": "` + crc + `"}`
	for name, text := range map[string]string{
		"itself": string(original), "Go": string(sorted), "JavaScript": javascript, "Python": python, "capitals": strings.Replace(javascript, crc, strings.ToUpper(crc), 1),
	} {
		got, ok := Restore([]byte("x"), []byte(text), false)
		if !ok || string(got) != "x"+string(original) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, ok, got, original)
		}
	}
	for name, text := range map[string]string{
		"rounded":    strings.Replace(javascript, "0.0000125", "0.00001", 1),
		"text":       strings.Replace(javascript, "ü", "u", 1),
		"position":   strings.Replace(javascript, `"seq":12`, `"seq":13`, 1),
		"half":       strings.Replace(javascript, `"seq":12`, `"seq":12.5`, 1),
		"no number":  strings.Replace(javascript, `"a":21`, `"a":"21"`, 1),
		"one less":   strings.Replace(javascript, `"a":21,`, ``, 1),
		"one more":   strings.Replace(javascript, `"a":21,`, `"a":21,"c":1,`, 1),
		"checksum":   strings.Replace(javascript, crc, "00000000", 1),
		"one beside": strings.Replace(javascript, `"run"`, `"time":1,"run"`, 1),
		"no payload": `{"crc":"00000000"}`,
		"a list":     `["crc"]`,
		"half a":     javascript[:len(javascript)-1],
		"two":        javascript + "{}",
	} {
		if got, ok := Restore(nil, []byte(text), false); ok || got != nil {
			t.Errorf("%s: restored %s", name, got)
		}
	}
	beside := strings.Replace(javascript, `"run"`, `"time":1,"run"`, 1)
	if got, ok := Restore(nil, []byte(beside), true); !ok || !bytes.Equal(got, original) {
		t.Errorf("with members beside: %v %s", ok, got)
	}
}

func TestCanonical(t *testing.T) {
	for _, same := range [][]string{
		{"1200", "1.2e3", "0.0012E6", " 1200.000\n", "12e2"},
		{"0", "-0", "0.0", "0e9"},
		{"-21.5", "-21.50", "-215e-1"},
		{`{"b":1,"a":[1,2.0,"x"]}`, "{\"a\" : [1, 2,\"\\u0078\"],\n\"b\":1e0}"},
		{`"hello"`, `hello`},
		{`12345678901234567890`, `12345678901234567890.0`},
		{`true`, ` true `},
	} {
		for _, text := range same {
			if got, want := Canonical([]byte(text)), Canonical([]byte(same[0])); !bytes.Equal(got, want) {
				t.Errorf("%s is %s, %s is %s", text, got, same[0], want)
			}
		}
	}
	different := []string{
		"12345678901234567890", "12345678901234567891", "12345678901234567168", "0.1", "0.10000000000000001", `{"a":1}`, `{"a":"1"}`, `{"a":[1]}`,
		`[1,2]`, `[2,1]`, "$GPGGA,1", "1 2", "\xff", "", "1e99999999999", "null", `{"a":1}x`, "-1", "1",
	}
	seen := map[string]string{}
	for _, text := range different {
		got := string(Canonical([]byte(text)))
		if other, double := seen[got]; double {
			t.Errorf("%q and %q are both %q", text, other, got)
		}
		seen[got] = text
	}
}

// FuzzRestore: whatever comes back is an own payload to the last byte.
func FuzzRestore(f *testing.F) {
	f.Add(Encode("0a1b2c3d", "press-7", 12, rewritten))
	f.Add([]byte(`{"run":"","dev":"","seq":1,"v":{},"crc":"00000000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := Restore(nil, text, true)
		if _, err := Parse(got); ok != (err == nil) {
			t.Errorf("%q: restored %v %q: %v", text, ok, got, err)
		}
	})
}

// FuzzCanonical: the form of the form is the form.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{`{"b":1.50,"a":[1e3,null,"x\u00e9"]}`, "-0.0", `"\"x\""`, "1e-400", "{"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		once := Canonical(payload)
		if len(payload) > 0 && (payload[0] == '{' || payload[0] == '[') && !bytes.Equal(Canonical(once), once) {
			t.Errorf("%q becomes %q, and that %q", payload, once, Canonical(once))
		}
	})
}

func TestDigestByMeaning(t *testing.T) {
	r, err := NewRecorder(t.TempDir(), NewClock())
	if err != nil {
		t.Fatal(err)
	}
	a, b := []byte(`{"a":1,"b":2}`), []byte(`{"b": 2.0, "a": 1}`)
	if r.Digest(a) == r.Digest(b) || r.Digest(a) != Digest(a) {
		t.Error("compared by meaning before anybody asked for it")
	}
	r.CompareByMeaning()
	if r.Digest(a) != r.Digest(b) || r.Digest(a) == r.Digest([]byte(`{"b":2,"a":1.5}`)) {
		t.Error("not compared by meaning")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

package history

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

var taken = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

func entry(name, payload string) *journal.Entry {
	return &journal.Entry{Offset: 7, Message: journal.Message{Topic: name, Payload: []byte(payload), Time: taken}}
}

// told describes what a payload gave: points, events, what was left.
func told(t *testing.T, rules []Rule, name, payload string) string {
	t.Helper()
	checked, err := NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	x := Extractor{Rules: checked}
	left := x.Extract(&b, entry(name, payload))
	var parts []string
	for _, p := range b.Points {
		text := fmt.Sprintf("%s=%v%s", p.Field, p.Value, p.Unit)
		if !p.Time.Equal(taken) {
			text += "@" + p.Time.Format("15:04:05.999999")
		}
		parts = append(parts, text)
	}
	for _, e := range b.Events {
		parts = append(parts, fmt.Sprintf("%s:%q/%d", e.Field, e.Payload, e.Size))
	}
	if left != (Left{}) {
		parts = append(parts, fmt.Sprintf("left %+v", left))
	}
	return strings.Join(parts, " ")
}

func TestPlainRule(t *testing.T) {
	for payload, want := range map[string]string{
		"21.5": "value=21.5", " -3e2\r\n": "value=-300", "true": "value=1", "false": "value=0", "0": "value=0",
		"null": `:"null"/4`, "": `:""/0`, "on": `:"on"/2`, `"21.5"`: `:"\"21.5\""/6`, "NaN": `:"NaN"/3`, "Infinity": `:"Infinity"/8`, "0x10": `:"0x10"/4`, "1_000": `:"1_000"/5`,
		"21,5": `:"21,5"/4`, "1 2": `:"1 2"/3`, "1e999": `:"1e999"/5`, "1e291": `:"1e291"/5`, "+1": `:"+1"/2`, "\xff\x00": `:"\xff\x00"/2`, "{": `:"{"/1`, "{}": `:"{}"/2`, "[]": `:"[]"/2`,
		`{"t":21.5,"ok":true,"name":"x","n":null}`: "t=21.5 ok=1", `{"a":{"b":{"c":1}},"d":[1,[2]]}`: "a/b/c=1 d/0=1 d/1/0=2", `{"state":"open"}`: `:"{\"state\":\"open\"}"/16`,
		`{"value":20,"unit":"°C"}`: "value=20°C", `{"t":{"v":1,"unit":"K"},"p":2}`: "t/v=1K p=2", `{"v":1,"unit":7}`: "v=1 unit=7", `{"v":1,"unit":"\u0007"}`: "v=1",
		`{"a":1,"a":2}`: "a=2", `{"a/b":1,"c~d":2,"":3}`: "a~1b=1 c~0d=2 /=3", `{"\u0000":1,"ok":2}`: "ok=2 left {Fields:1 Times:0}", `{"caf\u00e9":1}`: "café=1", `{"a":1e291,"b":-1e999,"c":2}`: "c=2 left {Fields:2 Times:0}",
		" { \"a\" : [ 1 , { \"b\" : -0.5 } ] , \"c\" : false } ": "a/0=1 a/1/b=-0.5 c=0", `{"s":"a\"}],{","n":1}`: "n=1",
	} {
		if got := told(t, nil, "t", payload); got != want {
			t.Errorf("%q gives %s, want %s", payload, got, want)
		}
	}
	if got := told(t, nil, "t", strings.Repeat("[", 20)+"1"+strings.Repeat("]", 20)); !strings.Contains(got, "left {Fields:1") {
		t.Errorf("a deep payload gives %s", got)
	}
	if got := told(t, nil, "t", "["+strings.Repeat("1,", 99)+"1]"); !strings.Contains(got, "63=1 left {Fields:1") || strings.Contains(got, "64=") {
		t.Errorf("a wide payload gives %s", got)
	}
	if got := told(t, nil, "t", strings.Repeat("x", 5000)); got != fmt.Sprintf(":%q/5000", strings.Repeat("x", MaxPayloadBytes)) {
		t.Errorf("a long payload gives %.60s…", got)
	}
}

func TestRules(t *testing.T) {
	rules := []Rule{
		{Filter: "skip/#", Skip: true},
		{Filter: "a/+", Fields: []FieldAt{{Pointer: "/t", Unit: "°C", Scale: 0.1}, {Pointer: "/in/h", Name: "humidity", Unit: "%"}, {Pointer: "/mode"}, {Pointer: "/l/1"}}},
		{Filter: "time/ms", Time: "/ts"}, {Filter: "time/s", Time: "/ts", TimeUnit: TimeSeconds}, {Filter: "time/ns", Time: "/ts", TimeUnit: TimeNanos},
		{Filter: "plain", Fields: []FieldAt{{Pointer: "", Name: "level", Unit: "m"}}},
		{Filter: "a/#", Skip: true},
	}
	for _, c := range []struct{ topic, payload, want string }{
		{"skip/x", "1", ""}, {"a", "1", ""}, {"a/b/c", "1", ""}, {"other", "1", "value=1"}, {"plain", "3", "level=3m"}, {"plain", "x", `:"x"/1`},
		{"a/b", `{"t":215,"in":{"h":40},"x":9,"l":[1,2]}`, "t=21.5°C humidity=40% l/1=2"}, {"a/b", `{"mode":"auto","t":null}`, `mode:"auto"/4`},
		{"a/b", `{"mode":{"x":1}}`, `mode:"{\"x\":1}"/7`}, {"a/b", `{}`, ""}, {"a/b", "7", ""}, {"a/b", "off", `:"off"/3`},
		{"time/ms", `{"ts":1772625600500,"v":1}`, "ts=1.7726256005e+12@12:00:00.5 v=1@12:00:00.5"}, {"time/s", `{"ts":1772625600.25,"v":1}`, "ts=1.77262560025e+09@12:00:00.25 v=1@12:00:00.25"},
		{"time/ns", `{"ts":1772625600500000000}`, "ts=1.7726256005e+18@12:00:00.5"}, {"time/ms", `{"ts":"2026-03-04T13:00:00.000001+01:00","v":1}`, "v=1@12:00:00.000001"},
		{"time/ms", `{"ts":1,"v":1}`, "ts=1 v=1 left {Fields:0 Times:1}"}, {"time/ms", `{"v":1}`, "v=1 left {Fields:0 Times:1}"}, {"time/ms", `{"ts":"soon","v":1}`, "v=1 left {Fields:0 Times:1}"},
		{"time/ms", `{"ts":true,"v":1}`, "ts=1 v=1 left {Fields:0 Times:1}"}, {"time/ms", `{"ts":"2026-03-06T13:00:00Z","v":1}`, "v=1 left {Fields:0 Times:1}"}, {"time/ms", `{"ts":"1999-12-31T23:59:59Z","v":1}`, "v=1 left {Fields:0 Times:1}"}, {"time/ms", `{"ts":1e30}`, "ts=1e+30 left {Fields:0 Times:1}"},
		{"time/ms", "on", `:"on"/2 left {Fields:0 Times:1}`},
	} {
		if got := told(t, rules, c.topic, c.payload); got != c.want {
			t.Errorf("%s %s gives %s, want %s", c.topic, c.payload, got, c.want)
		}
	}
}

func TestNewRulesSaysWhatIsWrong(t *testing.T) {
	for want, r := range map[string]Rule{
		"rule 1: topic: filter":           {Filter: "a+"},
		"skip keeps nothing":              {Filter: "a", Skip: true, Time: "/t"},
		`timeUnit "min": want s, ms`:      {Filter: "a", TimeUnit: "min"},
		"time: \"ts\" is no JSON pointer": {Filter: "a", Time: "ts"},
		"a ~ is written ~0":               {Filter: "a", Fields: []FieldAt{{Pointer: "/a~b"}}},
		`two are named "x"`:               {Filter: "a", Fields: []FieldAt{{Pointer: "/a", Name: "x"}, {Pointer: "/x"}}},
		"the name":                        {Filter: "a", Fields: []FieldAt{{Pointer: "/a", Name: "x\x1b"}}},
		"the unit":                        {Filter: "a", Fields: []FieldAt{{Pointer: "/a", Unit: strings.Repeat("m", 40)}}},
		"scale":                           {Filter: "a", Fields: []FieldAt{{Pointer: "/a", Scale: 1e200}}},
		"at most 64":                      {Filter: "a", Fields: make([]FieldAt, 65)},
	} {
		if _, err := NewRules([]Rule{r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

// rfc6901 is the example of RFC 6901 section 5.
const rfc6901 = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`

func TestPointerOfTheStandard(t *testing.T) {
	for text, want := range map[string]string{
		"": rfc6901, "/foo": `["bar","baz"]`, "/foo/0": `"bar"`, "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", "/i\\j": "5", "/k\"l": "6", "/\u0020": "7", "/m~0n": "8",
		"/foo/2": "", "/foo/-": "", "/foo/00": "", "/nope": "", "/foo/0/x": "", "/a~1b/x": "",
	} {
		p, err := parsePointer(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := value(rfc6901).find(p); string(got) != want || ok != (want != "") {
			t.Errorf("%q finds %s, want %s", text, got, want)
		}
	}
}

// FuzzExtract: whatever a stranger sends, points are finite and named by text that can be shown, bounds hold, and what a pointer
// finds is what encoding/json finds.
func FuzzExtract(f *testing.F) {
	for _, payload := range []string{"21.5", rfc6901, `{"a":{"b":[1,{"c":true}]},"unit":"K","a":2}`, "[[[]]]", `{"ts":1772625600500}`, "\xff", `{"a\u0000":1}`, `"\ud800"`, "{\"\xff\":1}", `{"unit":{"unit":1}}`} {
		for _, p := range []string{"", "/a/b/0", "/ts", "/foo/1", "/~01"} {
			f.Add([]byte(payload), p)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, at string) {
		e := &journal.Entry{Offset: 1, Message: journal.Message{Topic: "t", Payload: payload, Time: taken}}
		p, err := parsePointer(at)
		if err == nil && json.Valid(payload) {
			comparePointer(t, payload, p)
		}
		lists := []Rules{{}}
		if rules, err := NewRules([]Rule{{Filter: "#", Time: "/ts", Fields: []FieldAt{{Pointer: at, Scale: 3}}}}); err == nil {
			lists = append(lists, rules)
		}
		for _, rules := range lists {
			var b Batch
			x := Extractor{Rules: rules}
			x.Extract(&b, e)
			checkBatch(t, &b)
		}
	})
}

func checkBatch(t *testing.T, b *Batch) {
	t.Helper()
	if len(b.Points)+len(b.Events) > MaxFields {
		t.Errorf("%d points and %d events of one message", len(b.Points), len(b.Events))
	}
	seen := map[Series]bool{}
	for _, p := range b.Points {
		if !(p.Value >= -MaxAbs && p.Value <= MaxAbs) || !topic.Clean(p.Field) || p.Unit != "" && !topic.Clean(p.Unit) || p.Time.Nanosecond()%1000 != 0 || seen[p.Series] {
			t.Errorf("point %+v", p)
		}
		seen[p.Series] = true
	}
	for _, e := range b.Events {
		if len(e.Payload) > MaxPayloadBytes || e.Size < len(e.Payload) {
			t.Errorf("event of %d bytes, %d said", len(e.Payload), e.Size)
		}
	}
}

// comparePointer follows the pointer through what encoding/json makes of the text.
func comparePointer(t *testing.T, payload []byte, p pointer) {
	t.Helper()
	var v any
	if json.Unmarshal(payload, &v) != nil {
		return // a number out of range
	}
	want := true
	for _, token := range p {
		switch x := v.(type) {
		case map[string]any:
			v, want = x[token]
		case []any:
			i, err := strconv.Atoi(token)
			if want = err == nil && i >= 0 && i < len(x) && strconv.Itoa(i) == token; want {
				v = x[i]
			}
		default:
			want = false
		}
		if !want {
			break
		}
	}
	text := value(strings.TrimSpace(string(payload)))
	got, ok := text.find(p)
	if ok != want {
		t.Fatalf("%q in %q: found %t, encoding/json %t", p, payload, ok, want)
	}
	if !ok {
		return
	}
	var g any
	if err := json.Unmarshal(got, &g); err != nil || fmt.Sprint(g) != fmt.Sprint(v) {
		t.Fatalf("%q in %q: found %s (%v), encoding/json %v", p, payload, got, err, v)
	}
}

// TestLongNamesCostLittle: a payload of the broker's largest size whose names are too long is read in time that grows with its size.
func TestLongNamesCostLittle(t *testing.T) {
	inner := strings.Repeat(`"":1,`, 100_000)
	payload := `{"` + strings.Repeat("k", 500_000) + `":{` + inner + `"z":1},"ok":2}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := told(t, nil, "t", payload); got != "ok=2 left {Fields:1 Times:0}" {
		t.Fatalf("gives %s", got)
	}
	runtime.ReadMemStats(&after)
	if allocated, most := after.TotalAlloc-before.TotalAlloc, uint64(30*len(payload)); allocated > most {
		t.Errorf("%d bytes allocated for a payload of %d, want at most %d", allocated, len(payload), most)
	}
}

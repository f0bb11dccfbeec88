package survey

import (
	"strings"
	"testing"
)

var mark = marker{topic: "bench/init", nonce: "abc123", payload: []byte(`{"plumbline":"init","nonce":"abc123"}`)}

func TestGuess(t *testing.T) {
	const text = `"{\"plumbline\":\"init\",\"nonce\":\"abc123\"}"`
	const object = `{"nonce": "abc123", "plumbline": "init"}`
	for _, c := range []struct {
		name, frame string
		want        Shape
		ok          bool
	}{
		{"text", `{"topic":"bench/init","data":` + text + `}`, Shape{Topic: "/topic", Payload: "/data"}, true},
		{"object", `{"t":"bench/init","m":{"p":` + object + `}}`, Shape{Topic: "/t", Payload: "/m/p", Object: true}, true},
		{"list", `{"n":1,"list":[{"t":"x","p":"y"},{"t":"bench/init","p":` + text + `}]}`, Shape{List: "/list", Topic: "/t", Payload: "/p"}, true},
		{"array", `[{"t":"bench/init","p":` + text + `}]`, Shape{Topic: "/t", Payload: "/p"}, true},
		{"array of arrays", `["bench/init",` + text + `]`, Shape{Topic: "/0", Payload: "/1"}, true},
		{"values of one topic", `{"topic":"bench/init","values":[1,` + text + `]}`, Shape{Topic: "/topic", Payload: "/values/1"}, true},
		{"spread", `{"topic":"bench/init","plumbline":"init","nonce":"abc123"}`, Shape{Topic: "/topic", Object: true}, true},
		{"names with slashes", `{"a/b":"bench/init","c~d":` + text + `}`, Shape{Topic: "/a~1b", Payload: "/c~0d"}, true},
		{"no topic", `{"value":` + text + `}`, Shape{Payload: "/value"}, true},
		{"itself", string(mark.payload), Shape{Raw: true}, true},
		{"itself anew", object, Shape{Raw: true, Object: true}, true},
		{"another message", strings.Replace(text, "abc123", "zzz", 1), Shape{}, false},
		{"no JSON", "abc123", Shape{}, false},
		{"changed", `{"p":{"plumbline":"else","nonce":"abc123"}}`, Shape{}, false},
	} {
		if got, ok := guess([]byte(c.frame), mark); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestGuessByName(t *testing.T) {
	for frame, want := range map[string]Shape{
		`{"topic":"a/b","data":21.5}`:                             {Topic: "/topic", Payload: "/data", Object: true},
		`{"type":"batch","items":[{"t":"a","v":"1"}]}`:            {List: "/items", Topic: "/t", Payload: "/v"},
		`{"event":{"channel":"x","msg":"y"}}`:                     {Topic: "/event/channel", Payload: "/event/msg"},
		`[{"topic":"a","payload":{"topic":"inner","value":"x"}}]`: {Topic: "/topic", Payload: "/payload", Object: true},
	} {
		if got, ok := guessByName([]byte(frame)); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", frame, got, ok, want)
		}
	}
	for _, frame := range []string{`{}`, `[]`, `"topic"`, `{"topic":7,"data":1}`, `{"topic":""}`, `welcome`, `{"type":"hello","message":"hi"}`} {
		if got, ok := guessByName([]byte(frame)); ok {
			t.Errorf("%s: %+v", frame, got)
		}
	}
}

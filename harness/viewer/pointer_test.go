package viewer

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// TestPointerOfTheStandard: the example of RFC 6901 section 5.
func TestPointerOfTheStandard(t *testing.T) {
	const document = `{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}`
	for _, c := range [][2]string{
		{"", document}, {"/foo", `["bar", "baz"]`}, {"/foo/0", `"bar"`}, {"/", "0"}, {"/a~1b", "1"}, {"/c%d", "2"}, {"/e^f", "3"},
		{"/g|h", "4"}, {`/i\j`, "5"}, {`/k"l`, "6"}, {"/ ", "7"}, {"/m~0n", "8"},
	} {
		text, want := c[0], c[1]
		p, err := parsePointer(text)
		if err != nil {
			t.Fatal(err)
		}
		var scratch []byte
		if got, ok := p.find([]byte(document), &scratch); !ok || string(got) != want {
			t.Errorf("%q finds %s, %v; want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/bar", "/none", "/a~1b/x", "/foo/0/0", "/FOO"} {
		p, err := parsePointer(text)
		if err != nil {
			t.Fatal(err)
		}
		var scratch []byte
		if got, ok := p.find([]byte(document), &scratch); ok {
			t.Errorf("%q finds %s", text, got)
		}
	}
	for _, text := range []string{"foo", "/~", "/~2", "/a/b~"} {
		if _, err := parsePointer(text); err == nil || !strings.Contains(err.Error(), "RFC 6901") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzPointer: what is found is what encoding/json finds on the same way.
func FuzzPointer(f *testing.F) {
	f.Add("/a/0/b", `{"a":[{"b":1.50},2],"a ":"x"}`)
	f.Add("/~0~1", `{"~/":null,"A":{}}`)
	f.Add("", "[]")
	f.Fuzz(func(t *testing.T, text, document string) {
		p, err := parsePointer(text)
		if err != nil || !valid([]byte(document)) {
			return
		}
		var whole any
		decoder := json.NewDecoder(strings.NewReader(document))
		decoder.UseNumber()
		if err := decoder.Decode(&whole); err != nil {
			t.Skip() // the scanner does not look for UTF-8 and lone surrogates, its callers do
		}
		want, exists := follow(whole, p)
		var scratch []byte
		got, found := p.find([]byte(document), &scratch)
		if found != exists {
			if strings.Contains(document, "\\u") || strings.ContainsRune(text+document, '\uFFFD') {
				t.Skip() // encoding/json replaces what is no character
			}
			t.Fatalf("%q in %q: found %v, exists %v", text, document, found, exists)
		}
		var value any
		decoder = json.NewDecoder(strings.NewReader(string(got)))
		decoder.UseNumber()
		if found && (decoder.Decode(&value) != nil || !reflect.DeepEqual(value, want)) {
			t.Fatalf("%q in %q: found %q, want %v", text, document, got, want)
		}
	})
}

func follow(value any, p pointer) (any, bool) {
	for _, token := range p {
		switch v := value.(type) {
		case map[string]any:
			var ok bool
			if value, ok = v[token]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.ParseUint(token, 10, 32)
			if err != nil || i >= uint64(len(v)) || strconv.FormatUint(i, 10) != token {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
